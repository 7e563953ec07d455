"""What the validator found, in our words: problem and remedy.

The validator's own sentences and class names never reach the reader: each kind of
error has a template here, and a kind without one is a mistake of ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, get_args

from simulator.errors import Fault
from simulator.plans.fields import ELSEWHERE, PLANNED, shown
from simulator.plans.hints import MOST_LISTED, choices, joined, renamed, unknown_key
from simulator.plans.records import ARRAYS, SECTIONS, Section, keys_in, table_of
from simulator.plans.synonyms import value_of

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_Context = dict[str, Any]
_Message = Callable[[str, Any, _Context], Fault]

_EXAMPLES = {
    "stage_times.forward": 'forward = "18.5 ms"',
    "stage_times.backward_input": 'backward_input = "18.1 ms"',
    "stage_times.backward_weight": 'backward_weight = "9.3 ms"',
    "stage_times.transfer": 'transfer = "0.6 ms"',
    "device_step.time": 'time = "285.7 ms"',
    "model": '[model] with name = "gpt3-175b"',
    "batch": "[batch] with global = 1536 and micro = 2",
    "cluster": '[cluster] with device = "a100-sxm4-80gb", nodes and devices_per_node',
    "collective": '[collective] with pattern = "all-reduce" and size = "64 MB"',
    "collective.pattern": 'pattern = "all-reduce"',
    "collective.size": 'size = "64 MB"',
    "batch.global": "global = 1536",
    "batch.micro": "micro = 2",
    "cluster.device": 'device = "a100-sxm4-80gb"',
    "cluster.network.link": 'link = "infiniband-hdr"',
    "cluster.network.degraded.link": 'link = ["host 3", "host 4"]',
    "cluster.network.degraded.factor": "factor = 0.5",
    "parallelism.layers.match": 'match = "fc*"',
}
_ARRAYS = {
    "parallelism.stages": "[2, 3, 3, 2]",
    "model.widths": "[784, 512, 10]",
    "cluster.network.shape": "[4, 4]",
    "cluster.network.failed": '[["host 3", "host 4"]]',
}
# Consequences of another error on the same value.
_ECHOES = {"default_factory_not_called"}


def missing(key: str) -> Fault:
    """Return the fault of a key or table that has to be there."""
    is_table = key in SECTIONS
    what = "the table is missing" if is_table else "is missing"
    return Fault(key, what, f"add {_EXAMPLES[table_of(key)]}")


def not_a_table(table: str, value: object) -> Fault:
    """Return the fault of a value where a table has to be."""
    known = keys_in(table)
    more = ", ..." if len(known) > MOST_LISTED else ""
    keys = ", ".join(known[:MOST_LISTED]) + more
    return Fault(table, f"takes a table, got {shown(value)}", f"its keys are: {keys}")


def faults_of(table: str, error: ValidationError) -> Iterator[Fault]:
    """Yield what the validator found in `table`, one fault a mistake."""
    details = error.errors(include_url=False)
    parents = {d["loc"][:-1] for d in details}
    unknown = [d for d in details if d["type"] == "extra_forbidden"]
    meant = {renamed(table, d["loc"]) for d in unknown}
    for detail in details:
        key = joined(*table.split("."), *detail["loc"])
        if detail["type"] in _ECHOES:
            continue
        if detail["type"] == "too_short" and detail["loc"] in parents:
            continue  # its items are at fault, and have been left out of the count
        if detail["type"] == "missing" and key in meant:
            continue  # it is there, misspelt
        yield _fault(table, key, detail)


def _fault(table: str, key: str, detail: ErrorDetails) -> Fault:
    kind, value = detail["type"], detail["input"]
    if kind in {"extra_forbidden", "invalid_key"}:
        owner = joined(*table.split("."), *detail["loc"][:-1])
        return unknown_key(owner, str(detail["loc"][-1]))
    return _MESSAGES[kind](key, value, detail.get("ctx", {}))


def _wrong_kind(wanted: str, remedy: str = "") -> _Message:
    """Return the message for a value of another type than `wanted`."""
    return lambda key, value, _: Fault(
        key, f"takes {wanted}, got {shown(value)}", remedy
    )


def _out_of_range(bound: str, name: str) -> _Message:
    """Return the message for a number beyond the limit called `name`."""
    return lambda key, value, context: Fault(
        key, f"must be {bound} {context[name]:.12g}, got {shown(value)}"
    )


def _wrong_length(bound: str, name: str) -> _Message:
    """Return the message for an array beyond the limit called `name`."""
    return lambda key, value, context: Fault(
        key, f"takes {bound} {context[name]} numbers, got {len(value)}"
    )


def _literal(key: str, value: object) -> Fault:
    table, _, name = key.rpartition(".")
    allowed = _allowed(SECTIONS[table_of(table)], name)
    if not isinstance(value, str):
        problem = f"takes text, got {shown(value)}"
        return Fault(key, problem, f"allowed: {', '.join(allowed)}")
    if other := ELSEWHERE.get(key, {}).get(value.lower()):
        problem = f"{shown(value)} is said by another key"
        return Fault(key, problem, f"write {other}, and leave {name} out")
    if value.lower() in PLANNED.get(key, ()):
        problem = f"{shown(value)} is not built yet"
        return Fault(key, problem, f"allowed: {', '.join(allowed)}")
    label = name.replace("_", " ")
    more = "`simulate list topologies`" if name == "topology" else ""
    remedy = choices(value, allowed, more, near=value_of(name, value))
    return Fault(key, f"unknown {label} {shown(value)}", remedy)


def _allowed(section: type[Section], name: str) -> list[str]:
    """Return the texts that the literal type of a field admits."""
    annotation = section.model_fields[name].annotation
    found: list[str] = []
    pending = list(get_args(annotation))
    while pending:
        argument = pending.pop(0)
        if isinstance(argument, str):
            found.append(argument)
        pending.extend(get_args(argument))
    return found


def _whole_number(key: str, value: object, _: _Context) -> Fault:
    problem = f"takes a whole number, got {shown(value)}"
    if isinstance(value, str) and value.strip().isdecimal():
        return Fault(key, problem, f"write {value.strip()} without quotes")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return Fault(key, problem, f"write {int(value)}")
    return Fault(key, problem, "write one such as 8")


def _number(key: str, value: object, _: _Context) -> Fault:
    problem = f"takes a number, got {shown(value)}"
    if isinstance(value, str) and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value):
        return Fault(key, problem, f"write {value} without quotes")
    return Fault(key, problem, "write one such as 0.5")


def _array(key: str, value: object, _: _Context) -> Fault:
    name = table_of(key)
    if name in ARRAYS:
        problem = f"takes an array of tables, got {shown(value)}"
        return Fault(key, problem, f"write [[{name}]] above each")
    return Fault(key, f"takes an array, got {shown(value)}", f"such as {_ARRAYS[name]}")


def _too_long(key: str, value: Any, context: _Context) -> Fault:
    is_tables = table_of(key) in ARRAYS
    what = "tables" if is_tables else "numbers"
    return Fault(key, f"takes at most {context['max_length']} {what}, got {len(value)}")


_MESSAGES: dict[str, _Message] = {
    "refusal": lambda key, _, context: Fault(
        key, context["problem"], context["remedy"]
    ),
    "missing": lambda key, _, __: missing(key),
    "model_type": lambda key, value, _: not_a_table(key, value),
    "literal_error": lambda key, value, _: _literal(key, value),
    "int_type": _whole_number,
    "bool_type": _wrong_kind("true or false"),
    "string_type": _wrong_kind("text", "write it in quotes"),
    "tuple_type": _array,
    "float_type": _number,
    "finite_number": _wrong_kind("a finite number"),
    "too_short": _wrong_length("at least", "min_length"),
    "too_long": _too_long,
    "greater_than": _out_of_range("above", "gt"),
    "greater_than_equal": _out_of_range("at least", "ge"),
    "less_than_equal": _out_of_range("at most", "le"),
}
