"""Blocks that a plan tells apart by number, as all have one name.

[[parallelism.layers]]
match = "block"
blocks = ":8, -1"      # the first eight and the last of the model
recompute = "full"

[[parallelism.layers]]
match = "block"
stage_blocks = ":2"    # the first two of each stage: Megatron's method "block"
recompute = "full"

Numbers count blocks from 0, embedding and head left out, as names of weights do
(`layers.3.…`); several are written as slices of Python, which say `the first`, `the
last` and `every fourth` without knowing how many there are. Blocks for which the same
tables hold stay one object, and are priced once; a model of whose blocks no table
speaks by number stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import accumulate, chain, pairwise

from models.model import Layer, Model
from simulator.plans.records import LayerSection, ParallelismSection

_NUMBER = r"(-?\d{1,7})"
_PART = re.compile(rf"{_NUMBER}|{_NUMBER}?:{_NUMBER}?(?::([1-9]\d{{0,6}})?)?")


def numbers(text: str, count: int) -> frozenset[int]:
    """Return the numbers that a text such as `:2, 5, -1` chooses among `count`.

    Raises:
        ValueError: a part is neither a number nor a slice.

    >>> sorted(numbers(":2, 5, -1", 8))
    [0, 1, 5, 7]
    """
    return frozenset(chain.from_iterable(_part(each, count) for each in parts(text)))


def parts(text: str) -> list[str]:
    """Return the numbers and slices of a text."""
    return [each.strip() for each in text.split(",")]


def _part(text: str, count: int) -> range:
    match = _PART.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is neither a number nor a slice")
    one, first, end, step = (int(each) if each else None for each in match.groups())
    if one is None:
        return range(count)[first:end:step]
    return range(count)[one : one + 1 or None]


def with_chosen_blocks(model: Model, parallelism: ParallelismSection) -> Model:
    """Return a model whose blocks say which of a plan's tables hold by number.

    Args:
        model: as it is built.
        parallelism: with the tables, and the stages in which they may count.
    """
    rules = parallelism.layers
    if not any(rule.counts_blocks for rule in rules):
        return model
    sizes: tuple[int, ...] = ()
    if any(rule.stage_blocks is not None for rule in rules):
        sizes = stage_sizes(parallelism, model)
    return _told_apart(model, rules, sizes)


def stage_sizes(parallelism: ParallelismSection, model: Model) -> tuple[int, ...]:
    """Return the blocks of each virtual stage, as far as they come out even."""
    number = parallelism.num_stages
    return parallelism.stages or (model.num_blocks // number,) * number


@lru_cache(maxsize=256)
def _told_apart(
    model: Model, rules: tuple[LayerSection, ...], sizes: tuple[int, ...]
) -> Model:
    count = model.num_blocks
    chosen = [_chosen(rule, count, sizes) for rule in rules]
    known: dict[tuple[Layer, tuple[int, ...]], Layer] = {}
    layers: list[Layer] = []
    number = 0
    for layer in model.layers:
        if layer.role != "block":
            layers.append(layer)
            continue
        own = tuple(place for place, blocks in enumerate(chosen) if number in blocks)
        made = known.setdefault(
            (layer, own), replace(layer, choices=own) if own else layer
        )
        layers.append(made)
        number += 1
    return replace(model, layers=tuple(layers))


def _chosen(rule: LayerSection, count: int, sizes: Sequence[int]) -> frozenset[int]:
    """Return the blocks that a table chooses by number; none if it names no numbers."""
    if not rule.counts_blocks:
        return frozenset()
    found = numbers(":" if rule.blocks is None else rule.blocks, count)
    if rule.stage_blocks is None:
        return found
    return found & {
        begin + number
        for begin, end in pairwise([0, *accumulate(sizes)])
        for number in numbers(rule.stage_blocks, end - begin)
    }
