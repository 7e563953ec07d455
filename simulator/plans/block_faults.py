"""Whether the numbers by which a plan chooses blocks are those of any."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from models.model import Model
from simulator.errors import Fault
from simulator.plans.chosen_blocks import numbers, parts, stage_sizes
from simulator.plans.layer_choices import holds
from simulator.plans.records import LayerSection, ParallelismSection

_MODEL = ("model.layers", "model.name")
_SLICES = (
    'write numbers from 0 and slices: "3", ":8" for the first 8, "-8:" for the last 8,'
    ' "::4" for every fourth'
)


def number_faults(parallelism: ParallelismSection, model: Model) -> Iterator[Fault]:
    """Yield what is wrong with the numbers in choices for layers.

    Args:
        parallelism: with the choices.
        model: whose blocks they count, none told apart yet.
    """
    for index, rule in enumerate(parallelism.layers):
        key = f"parallelism.layers[{index}]"
        yield from _rule_faults(parallelism, rule, key, model)


def unmatched_faults(parallelism: ParallelismSection, model: Model) -> Iterator[Fault]:
    """Yield names and numbers that no block has together.

    Args:
        parallelism: with the choices.
        model: with its blocks told apart.
    """
    for index, rule in enumerate(parallelism.layers):
        is_named = any(fnmatchcase(layer.name, rule.match) for layer in model.layers)
        if is_named and not any(holds(rule, index, layer) for layer in model.layers):
            key = f"parallelism.layers[{index}].match"
            problem = f"'{rule.match}' matches no block of these numbers"
            yield Fault(key, problem, "match other names, or other numbers")


def _rule_faults(
    parallelism: ParallelismSection, rule: LayerSection, key: str, model: Model
) -> Iterator[Fault]:
    """Yield what is wrong with the numbers of one table."""
    if rule.blocks is not None:
        at = f"{key}.blocks"
        yield from _text_faults(rule.blocks, model.num_blocks, model.name, at, _MODEL)
    if rule.stage_blocks is None:
        return
    at = f"{key}.stage_blocks"
    if parallelism.balance == "time":
        problem = "counts blocks of stages, which balance is still to find"
        remedy = "write stages, or count blocks of the model: blocks"
        yield Fault(at, problem, remedy, involves=("parallelism.balance",))
        return
    most = max(stage_sizes(parallelism, model))
    where = f"the largest stage of {model.name}"
    involves = (*_MODEL, "parallelism.pipeline", "parallelism.stages")
    yield from _text_faults(rule.stage_blocks, most, where, at, involves)


def _text_faults(
    text: str, count: int, where: str, key: str, involves: tuple[str, ...]
) -> Iterator[Fault]:
    """Yield the first part of a text that chooses nothing among some blocks."""
    for part in parts(text):
        try:
            chosen = numbers(part, count)
        except ValueError as error:
            yield Fault(key, str(error), _SLICES)
            return
        if not chosen:
            problem = f"'{part}' is none of the {count} blocks of {where}"
            remedy = f"the last is {count - 1}" if count else "leave it out"
            yield Fault(key, problem, remedy, involves=involves)
            return
