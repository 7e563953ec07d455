"""The kinds of value that only the network's tables hold: names, ends and orders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema
from typing_extensions import override

from simulator.plans.fields import refusal, shown

# Written out, so that a plan on a switch loads no graphs; a test compares.
Topology = Literal[
    "switch",
    "ring",
    "wheel",
    "random",
    "random-regular",
    "star",
    "full",
    "torus",
    "mesh",
    "hypercube",
    "fat-tree",
    "leaf-spine",
    "clos",
    "rail-optimized",
    "dragonfly",
    "file",
]
NodeTopology = Literal[
    "switch",
    "full",
    "nvlink-pairs",
    "hybrid-cube-mesh",
    "pcie-single-root",
    "pcie-dual-root",
]
RingOrder = Literal["auto", "rank"] | tuple[int, ...]
AdaptersOn = Literal["switch", "socket"]
Routing = Literal["shortest", "up-down", "dimension-order"]
Multipath = Literal["split", "hashed", "one"]

End = int | str
Cable = tuple[End, End]
_CABLE = '["host 3", "host 4"]'
_ORDERS = "auto, rank, or a list of all node numbers, such as [0, 2, 1, 3]"


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


class _Parsed(Protocol):
    """What marks a value that its `parse` alone reads."""

    def parse(self, value: object) -> object:
        """Return the value that is meant."""

    def __get_pydantic_core_schema__(
        self, source: type, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Parse and nothing else."""
        del source, handler
        return core_schema.no_info_plain_validator_function(self.parse)


@dataclass(frozen=True, slots=True)
class Ends(_Parsed):
    """Marks the two ends of a cable, by label or number: `Annotated[Cable, Ends()]`."""

    @override
    def parse(self, value: object) -> Cable:
        """Return the two ends in `value`."""
        if isinstance(value, list | tuple) and len(value) == 2:
            a, b = value
            if all(isinstance(end, str) or _is_number(end) for end in value):
                return a, b
        problem = f"takes the two ends of a cable, got {shown(value)}"
        raise refusal(problem, f"write {_CABLE}, or the numbers of both")

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe the pair."""
        del schema, handler
        number = {"type": "integer", "minimum": 0}
        end = {"anyOf": [{"type": "string"}, number]}
        return {"type": "array", "items": end, "minItems": 2, "maxItems": 2}


@dataclass(frozen=True, slots=True)
class Order(_Parsed):
    """Marks the order of nodes around a ring: a word, or all their numbers."""

    @override
    def parse(self, value: object) -> RingOrder:
        """Return the order in `value`."""
        if value == "auto":
            return "auto"
        if value == "rank":
            return "rank"
        if isinstance(value, list | tuple) and value and all(map(_is_number, value)):
            return tuple(value)
        raise refusal(
            f"takes an order of nodes, got {shown(value)}", f"write {_ORDERS}"
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe either."""
        del schema, handler
        numbers = {"type": "array", "items": {"type": "integer", "minimum": 0}}
        return {"anyOf": [{"enum": ["auto", "rank"]}, {**numbers, "minItems": 1}]}
