"""Layers that tensor ranks do not divide, though they divide others.

[[parallelism.layers]]
match = "conv*"
tensor = 1

Every tensor rank then has such a layer whole, and computes it for all samples, or,
under sequence parallelism, for its part of the tokens.

Limits: attention is always divided by heads, and so are the blocks that have it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

from models.model import Layer, Model
from models.operators import Split
from simulator.errors import Fault
from simulator.plans.layer_choices import holds, named_by
from simulator.plans.records import LayerSection, ParallelismSection

_KEY = "parallelism.layers"


@lru_cache(maxsize=256)
def with_whole_layers(model: Model, rules: tuple[LayerSection, ...]) -> Model:
    """Return a model in which the layers that a plan wants whole have no split.

    Args:
        model: as it is built.
        rules: of layers by name; equal layers stay one object.
    """
    if not any(rule.tensor for rule in rules):
        return model
    known = {
        layer: _whole(layer) if _is_whole(layer, rules) else layer
        for layer in model.layers
    }
    return replace(model, layers=tuple(known[layer] for layer in model.layers))


def _is_whole(layer: Layer, rules: tuple[LayerSection, ...]) -> bool:
    """Return whether a table says that every tensor rank has a layer whole."""
    return any(
        rule.tensor and holds(rule, place, layer) for place, rule in enumerate(rules)
    )


def _whole(layer: Layer) -> Layer:
    """Return a layer whose operators nobody divides."""
    operators = tuple(
        operator
        if operator.split is Split.NONE
        else replace(operator, split=Split.NONE)  # type: ignore[type-var]  # all are
        for operator in layer.operators
    )
    return replace(layer, operators=operators)


def whole_layer_faults(
    parallelism: ParallelismSection, model: Model
) -> Iterator[Fault]:
    """Yield where a layer cannot be whole."""
    rules = parallelism.layers
    for index, rule in enumerate(rules):
        if rule.tensor is None:
            continue
        key = f"{_KEY}[{index}].tensor"
        named = named_by(rule, index, model)
        for layer in dict.fromkeys(named):
            yield from _layer_faults(key, layer, model)
        for layer, other in pairwise(model.layers):
            is_one = _is_whole(layer, rules) != _is_whole(other, rules)
            if _hands_on_parts(layer) and is_one and {layer, other} & set(named):
                problem = f"{layer.name} hands its parts on to {other.name}"
                yield _fault(key, problem, "match both, or leave it out")


def _layer_faults(key: str, layer: Layer, model: Model) -> Iterator[Fault]:
    """Yield why one layer cannot be whole."""
    tables = {other.tied_to for other in model.layers} - {None}
    if layer.tied_to is not None or layer.name in tables:
        yield _fault(key, f"{layer.name} shares its table with another layer")
    splits = {operator.split for operator in layer.operators}
    if Split.PLACES in splits:
        yield _fault(key, f"{layer.name} is divided by places, with its neighbours")
    if any(operator.is_core_attention for operator in layer.operators):
        yield _fault(key, f"{layer.name} has attention, which is divided by heads")


def _hands_on_parts(layer: Layer) -> bool:
    """Return whether every tensor rank has a part of what comes out of a layer."""
    is_head = layer.role == "head"
    return not is_head and layer.operators[-1].split in {Split.COLUMN, Split.INNER}


def _fault(key: str, problem: str, remedy: str = "leave it out") -> Fault:
    return Fault(key, problem, remedy)
