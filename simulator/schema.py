"""The JSON Schema of a plan file, generated from the records that read it.

Editors complete and check with it: `simulate schema > plans/plan.schema.json`, and
`#:schema ./plan.schema.json` as a plan's first line.

Limits: a schema knows one key at a time. How keys have to fit together, such as
tensor x pipeline x data = devices, only the loader checks; and JSON cannot tell the
whole number 1 from 1.0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from models import catalogue as networks
from simulator.one_collective.plan import CollectivePlan
from simulator.plan import Plan
from simulator.plans.reading import COLLECTIVE
from topologies import catalogue
from topologies.profile_file import profile_names


def json_schema() -> dict[str, Any]:
    """Return the schema, draft 2020-12, with the catalogue's names as enumerations."""
    schema = Plan.model_json_schema(by_alias=True, mode="validation")
    _add_collective(schema)
    _name_values(schema)
    model = schema["$defs"]["ModelSection"]
    sources = ("name", "family", "file")
    model["oneOf"] = [{"required": [source]} for source in sources]
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        **schema,
        "title": "Plan of a distributed training run",
        "description": "Read by `simulate PLAN.toml`; quantities are text with a unit.",
    }


def _add_collective(schema: dict[str, Any]) -> None:
    """Let a plan have one collective instead of a training run."""
    other = CollectivePlan.model_json_schema(by_alias=True, mode="validation")
    schema["$defs"].update(other["$defs"])
    schema["properties"]["collective"] = other["properties"]["collective"]
    foreign = [{"required": [name]} for name in COLLECTIVE.foreign]
    of_training = [name for name in schema.pop("required") if name != "cluster"]
    schema["required"] = ["cluster"]
    schema["oneOf"] = [
        {"required": of_training, "not": {"required": ["collective"]}},
        {"required": ["collective"], "not": {"anyOf": foreign}},
    ]


_IN_FILES = ("devices", "profiles")  # what a file may hold that the plan names
_FILE = {"pattern": r"\.toml$"}


def _name_values(node: object) -> None:
    """Replace each `catalogue` mark below `node` by the names that are allowed."""
    if isinstance(node, list):
        for item in node:
            _name_values(item)
    elif isinstance(node, dict):
        _without_noise(node)
        kind = node.pop("catalogue", None)
        if kind is not None:
            names = {"enum": _NAMES[kind]()}
            node |= {"anyOf": [names, _FILE]} if kind in _IN_FILES else names
            node["type"] = "string"
        for value in node.values():
            _name_values(value)


def _without_noise(node: dict[str, Any]) -> None:
    """Take out class names, and the null that TOML does not have."""
    if isinstance(node.get("title"), str):
        del node["title"]
    if "default" in node and node["default"] is None:
        del node["default"]
    choices = [c for c in node.get("anyOf", []) if c != {"type": "null"}]
    if len(choices) == 1:
        del node["anyOf"]
        node.update({**choices[0], **node})


def _with_aliases(rows: list[dict[str, str]]) -> list[str]:
    names = [row["name"] for row in rows]
    return names + [a for row in rows for a in row["also"].split(", ") if a]


_NAMES: dict[str, Callable[[], list[str]]] = {
    "models": lambda: list(networks.names()),
    "devices": lambda: _with_aliases(catalogue.describe_devices()),
    "links": lambda: _with_aliases(catalogue.describe_links()),
    "profiles": lambda: list(profile_names()),
}
