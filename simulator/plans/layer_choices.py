"""What a plan says of one layer: the first of its tables that matches and has the key.

[[parallelism.layers]]
match = "fc*"
split = "neurons"
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from models.model import Layer, Model
from models.operators import Linear
from simulator.plans.fields import ContextMethod, Recompute
from simulator.plans.records import LayerSection, ParallelismSection


def rules_of(parallelism: ParallelismSection, layer: Layer) -> list[LayerSection]:
    """Return the tables that hold for a layer, by its name and number, in order."""
    rules = parallelism.layers
    return [rule for place, rule in enumerate(rules) if holds(rule, place, layer)]


def named_by(rule: LayerSection, place: int, model: Model) -> list[Layer]:
    """Return the layers of a model that a table is for, in order."""
    return [layer for layer in model.layers if holds(rule, place, layer)]


def holds(rule: LayerSection, place: int, layer: Layer) -> bool:
    """Return whether a table, the `place`-th of a plan, holds for a layer."""
    if not fnmatchcase(layer.name, rule.match):
        return False
    return not rule.counts_blocks or place in layer.choices


def recompute_of(parallelism: ParallelismSection, layer: Layer) -> Recompute:
    """Return which activations of a layer are computed again in backward.

    Layers split by neurons keep what a portion needs.
    """
    if neuron_rule(parallelism, layer):
        return "none"
    own = (rule.recompute for rule in rules_of(parallelism, layer))
    return next(filter(None, own), parallelism.recompute)


def expert_of(parallelism: ParallelismSection, layer: Layer) -> int:
    """Return over how many replicas a layer's experts are divided [1]."""
    own = (rule.expert for rule in rules_of(parallelism, layer))
    return next(filter(None, own), parallelism.expert_ranks)


def context_of(parallelism: ParallelismSection, layer: Layer) -> int:
    """Return over how many devices a layer's tokens are divided [1]."""
    own = (rule.context for rule in rules_of(parallelism, layer))
    return next(filter(None, own), parallelism.context)


def method_of(parallelism: ParallelismSection, layer: Layer) -> ContextMethod:
    """Return how a layer's attention meets the keys and values of other devices."""
    own = (rule.context_method for rule in rules_of(parallelism, layer))
    return next(filter(None, own), parallelism.context_method)


def zero_of(parallelism: ParallelismSection, layer: Layer) -> int:
    """Return which of a layer's states the replicas divide, 0 to 3 of ZeRO."""
    own = (rule.zero for rule in rules_of(parallelism, layer))
    said = (zero for zero in own if zero is not None)
    return next(said, parallelism.zero)


def reshard_of(parallelism: ParallelismSection, layer: Layer) -> bool:
    """Return whether a layer's gathered parameters are dropped after forward."""
    own = (rule.reshard for rule in rules_of(parallelism, layer))
    said = (reshard for reshard in own if reshard is not None)
    return next(said, parallelism.reshard)


def neuron_rule(parallelism: ParallelismSection, layer: Layer) -> LayerSection | None:
    """Return the table that has the replicas divide a layer's neurons, if any does."""
    rules = rules_of(parallelism, layer)
    first = next((rule for rule in rules if rule.split is not None), None)
    return first if first is not None and first.split == "neurons" else None


def layers_by_neurons(
    parallelism: ParallelismSection, model: Model
) -> tuple[Layer, ...]:
    """Return the layers whose neurons the replicas divide, in forward order."""
    if not parallelism.layers:
        return ()
    return tuple(layer for layer in model.layers if neuron_rule(parallelism, layer))


def portion_rule(parallelism: ParallelismSection, model: Model) -> LayerSection | None:
    """Return how a model's layers by neurons get their samples; None without such."""
    layers = layers_by_neurons(parallelism, model)
    return neuron_rule(parallelism, layers[0]) if layers else None


def described(rule: LayerSection) -> str:
    """Return what a table says, such as `layers fc*: split neurons, scheme in-turn`."""
    which = {"match", "blocks", "stage_blocks"}
    said = rule.model_dump(exclude_none=True, exclude=which).items()
    numbers = [] if rule.blocks is None else [f"blocks {rule.blocks}"]
    if rule.stage_blocks is not None:
        numbers.append(f"blocks {rule.stage_blocks} of each stage")
    names = f"layers {rule.match}" + (f" ({', '.join(numbers)})" if numbers else "")
    values = (f"{key} {str(value).lower()}" for key, value in said)
    return f"{names}: {', '.join(values)}"


def product_of(layer: Layer) -> Linear | None:
    """Return the one matrix of a dense layer; None if it is no such layer.

    A dense layer has one matrix, applied to a whole sample, and no other parameters.
    """
    products = [op for op in layer.operators if op.parameters]
    if len(products) != 1 or not isinstance(products[0], Linear):
        return None
    return products[0] if products[0].rows == 1 else None
