"""The kinds of value that a plan holds: numbers in SI inside, text with units outside.

`Quantity` and `Threshold` sit in the annotations of the records, and are all that
the loader, the dump and the JSON Schema know about units.
"""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from topologies.units import UnitError, exact_quantity, parse_quantity

Precision = Literal["fp16", "bf16", "fp32", "tf32", "fp8", "fixed16"]
GradientPrecision = Literal["fp32", "fp16", "bf16", "fixed16"]
ConvolutionAlgorithm = Literal[
    "auto", "direct", "gemm", "implicit-gemm", "winograd", "fft"
]
Optimizer = Literal["adam", "adagrad", "lbfgs", "momentum", "sgd"]
Schedule = Literal[
    "1f1b",
    "gpipe",
    "interleaved",
    "zb-h1",
    "zb-h2",
    "zb-v",
    "zb-auto",
    "dualpipe",
]
Balance = Literal["layers", "time"]
ContextMethod = Literal["ring", "all-gather"]
Recompute = Literal["none", "selective", "operators", "compiled-operators", "full"]
Framework = Literal["megatron", "torch"]
DispatchPrecision = Literal["compute", "fp8"]
ScaleGroup = Literal["none", "tensor", "stage"]
LayerSplit = Literal["samples", "neurons"]
DenseScheme = Literal["all-at-once", "in-turn", "in-slices"]
DenseUpdates = Literal["once", "each-portion"]
Attention = Literal["materialized", "flash"]
Gather = Literal["layer", "weight"]
Kernels = Literal["library", "eager", "compiled", "engine"]
Family = Literal["gpt", "bert", "llama", "mlp", "lstm"]
Scheme = Literal["all-reduce", "parameter-server"]
SumPlace = Literal["host", "device"]
Pull = Literal["after-push", "before-use", "before-forward"]
Algorithm = Literal[
    "auto",
    "ring",
    "bidirectional-ring",
    "multi-ring",
    "tree",
    "double-binary-tree",
    "recursive-doubling",
    "halving-doubling",
    "hierarchical",
    "torus-2d",
    "in-network",
    "parameter-server",
    "sharded-servers",
]
Comparison = Literal["<", "<=", ">", ">="]

MAX_DEVICES = 16_777_216  # 2 ** 24; the largest machines have some 2 ** 18
MAX_LAYERS = 1_048_576  # 2 ** 20
MAX_CAPACITY = 1_048_576.0  # 2 ** 20, as all rows at one of as many experts
MAX_DIMENSION = 1_073_741_824  # 2 ** 30, of anything that a layer or batch counts

# Names from the literature: the answer is "not built yet" instead of "unknown".
PLANNED: dict[str, tuple[str, ...]] = {
    "synchronization.scheme": (
        *("downpour", "sandblaster", "hogwild", "easgd"),
        *("elastic-averaging", "project-adam", "local-sgd", "gossip"),
    ),
    "parallelism.schedule": ("zero-bubble", "chimera", "hanayo", "seq1f1b"),
    "training.precision": ("fp4", "mxfp8", "int8"),
    "training.optimizer": ("adafactor", "lamb", "lars", "lion", "muon", "shampoo"),
}

# Names that others have for what another key says.
ELSEWHERE: dict[str, dict[str, str]] = {
    "synchronization.scheme": {
        "zero-1": "parallelism.zero = 1",
        "zero-2": "parallelism.zero = 2",
        "zero-3": "parallelism.zero = 3",
        "fsdp": "parallelism.zero = 3",
    },
}

_EXAMPLES = {"s": "5 us", "B": "25 MB", "B/s": "200 Gbit/s", "1": "0.4"}
_BOUNDS = {"s": "< 60 s", "B": "< 80 GB", "1": "> 0.4"}
_LONGEST_TEXT = 80


def shown(value: object) -> str:
    """Return `value` as TOML would write it, cut short where it is long."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() if abs(value) > 10**20:
            # str() of a huge integer is slow, and refused beyond 4300 digits.
            digits = int(value.bit_length() * 0.30103) + 1
            return f"a number of about {digits} digits"
        case dict():
            return "a table"
        case list() | tuple():
            return "an array"
        case str():
            text = repr(value)
        case _:
            text = str(value)
    if len(text) <= _LONGEST_TEXT:
        return text
    return f"{text[: _LONGEST_TEXT // 2]}... ({len(text)} characters)"


def refusal(problem: str, remedy: str = "") -> PydanticCustomError:
    """Return the error that a validator raises; it becomes a `Fault` unchanged."""
    context = {"problem": problem, "remedy": remedy}
    return PydanticCustomError("refusal", "{problem}", context)


def _parse(text: object, unit: str, example: str) -> float:
    """Return the SI value of `text`; messages end in `example`."""
    example = f'"{example}"'
    if not isinstance(text, str):
        problem = f"takes text with a unit, got {shown(text)}"
        raise refusal(problem, f"write it in quotes, such as {example}")
    if len(text) > _LONGEST_TEXT:
        raise refusal(f"{shown(text)} is no quantity", f"write such as {example}")
    try:
        return parse_quantity(text, unit)
    except UnitError as error:
        problem, comma, remedy = str(error).partition(", this takes ")
        if comma:
            raise refusal(problem, f"this takes {remedy}") from None
        problem, colon, remedy = problem.partition(": write ")
        raise refusal(problem, f"write {remedy}" if colon else "") from None


@dataclass(frozen=True, slots=True)
class Quantity:
    """Marks a float that text writes with a unit: `Annotated[float, Quantity("B")]`.

    Fields:
        unit: s, B, B/s or 1.
        is_positive: whether zero is refused.
        at_most: the largest that is taken, with its unit; empty for any.
    """

    unit: str
    is_positive: bool = True
    at_most: str = ""

    def parse(self, text: object) -> float:
        """Return the SI value of `text`, such as '25 MB'."""
        example = _EXAMPLES[self.unit]
        value = _parse(text, self.unit, example)
        if self.is_positive and value == 0:
            raise refusal(f"must be above zero, got {text!r}", f'such as "{example}"')
        if self.at_most and value > parse_quantity(self.at_most, self.unit):
            raise refusal(f"must be at most {self.at_most}, got {text!r}")
        return value

    def write(self, value: float) -> str:
        """Return the text that `parse` reads back to the very same float."""
        return exact_quantity(value, self.unit)

    def __get_pydantic_core_schema__(
        self, source: type, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Parse before, write after."""
        return core_schema.no_info_before_validator_function(
            self.parse,
            handler(source),
            serialization=core_schema.plain_serializer_function_ser_schema(self.write),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe the text, not the float."""
        del schema, handler
        return {
            "type": "string",
            "pattern": _PATTERNS[self.unit],
            "examples": [_EXAMPLES[self.unit]],
        }


_HOLDS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_THRESHOLD = re.compile(r"\s*(<=|>=|<|>)\s*(.*?)\s*", re.DOTALL)
_NUMBER = r"[0-9.]+([eE][+-]?[0-9]+)?\s*"
_PREFIX = r"([kMGTPEZ]|[KMGTPE]i)?"
_PATTERNS = {
    "s": rf"^\s*{_NUMBER}(ns|us|µs|μs|ms|s|min|h|d)\s*$",
    "B": rf"^\s*{_NUMBER}{_PREFIX}(B|bit)\s*$",
    "B/s": rf"^\s*{_NUMBER}({_PREFIX}(B|bit)/s|[kMGTPEZ]?bps)\s*$",
    "1": rf"^\s*{_NUMBER}%?\s*$",
}


@dataclass(frozen=True, slots=True)
class Threshold:
    """A bound on a predicted number, such as '< 60 s'.

    Fields:
        comparison: `<`, `<=`, `>` or `>=`.
        value: the bound, in SI units.
        unit: of the value.
    """

    comparison: Comparison
    value: float
    unit: str

    def holds(self, predicted: float) -> bool:
        """Return whether `predicted` is on the right side."""
        return bool(_HOLDS[self.comparison](predicted, self.value))

    def text(self) -> str:
        """Return the text that is read back to the same threshold."""
        return f"{self.comparison} {exact_quantity(self.value, self.unit)}"


@dataclass(frozen=True, slots=True)
class Bound:
    """Marks a `Threshold` that text writes: `Annotated[Threshold, Bound("s")]`.

    Fields:
        unit: of the value.
        most: beyond which a bare number was meant in per cent.
    """

    unit: str
    most: float = math.inf

    def parse(self, text: object) -> Threshold:
        """Return the threshold that `text` states."""
        match = _THRESHOLD.fullmatch(text) if isinstance(text, str) else None
        example = _BOUNDS[self.unit]
        if match is None:
            problem = f"takes a bound, got {shown(text)}"
            raise refusal(problem, f'write one of <, <=, >, >= first: "{example}"')
        comparison = match[1]
        assert comparison in {"<", "<=", ">", ">="}
        value = _parse(match[2], self.unit, example)
        if value > self.most:
            problem = f"{shown(text)} is {value:.0%}"
            raise refusal(problem, f'write "{comparison} {match[2]} %" for per cent')
        return Threshold(
            comparison,  # type: ignore[arg-type]  # the pattern admits no other
            value,
            self.unit,
        )

    def __get_pydantic_core_schema__(
        self, source: type, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Parse and nothing else; write as text."""
        del source, handler
        return core_schema.no_info_plain_validator_function(
            self.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(
                Threshold.text
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe the text."""
        del schema, handler
        pattern = _PATTERNS[self.unit].removeprefix("^")
        return {
            "type": "string",
            "pattern": rf"^\s*(<=|>=|<|>){pattern}",
            "examples": [_BOUNDS[self.unit]],
        }
