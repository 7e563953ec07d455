"""What is sent for a unit: its gathering, and the reduction of its gradients.

Sizes are those of the whole unit on one tensor rank, as NCCL counts them. What a unit
has of experts that not all replicas hold is gathered and reduced among those that do,
after the rest. What pads tensors to equal parts is sent with them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from models.work import Work, memory_work
from simulator.lowering.experts import gradient_sums
from simulator.lowering.sharding.rule import Sharding
from simulator.lowering.sharding.units import Unit
from simulator.workload import Message, Stream
from topologies.units import Count


class Reduction(NamedTuple):
    """Messages of a reduction in a row, and the stream that they are on."""

    stream: Stream
    messages: tuple[Message, ...]


def gathering(rule: Sharding, unit: Unit) -> tuple[Message, ...]:
    """Return the gathering of a unit's parameters: of all, or of each weight."""
    if unit.stage == 0:
        return ()
    sizes = unit.weights if rule.gathers_weights else (_dense(unit) + unit.padding,)
    message = Message("parameters", "all-gather", "shard", rule.element)
    return _divided(rule, unit, sizes, message)


def gathering_again(rule: Sharding, unit: Unit) -> tuple[Message, ...]:
    """Return what of a unit is gathered a second time after recomputation.

    Weights that are dropped after each use, but for the last, which is used next.
    """
    return gathering(rule, unit)[:-1] if unit.is_regathered else ()


def reductions(rule: Sharding, unit: Unit) -> tuple[Reduction, ...]:
    """Return what sums a unit's gradients, each after the one before.

    Over all replicas a reduce-scatter; in hybrid groups that, and an all-reduce of the
    parts among the ranks that hold the same. Of what is not divided, an all-reduce.
    """
    if unit.stage == 0:
        whole = rule.gradient * unit.parameters, rule.gradient * unit.experts
        sums = gradient_sums(*whole, has_copies=rule.expert_shards > 1)
        return (Reduction("data", sums),)
    weights = unit.weights if rule.gathers_weights else ()
    sizes = (*weights, _dense(unit) + unit.padding - sum(weights))
    message = Message("gradients", "reduce-scatter", "shard", rule.gradient)
    scattered = _divided(rule, unit, sizes, message)
    found = [Reduction("reduce", scattered)] if scattered else []
    if rule.copies > 1:
        size = rule.gradient * (unit.parameters + unit.padding) / rule.shards
        summed = Message("gradients", "all-reduce", "replicate", size)
        found.append(Reduction("data", (summed,)))
    return tuple(found)


def copying_out(rule: Sharding, unit: Unit) -> Work:
    """Return the copying of a gathered unit to where kernels read it: in and out."""
    gathered = sum(message.size for message in gathering(rule, unit))
    return memory_work("copy out", 2 * gathered)


def _dense(unit: Unit) -> Count:
    """Return the parameters of a unit that all replicas hold [1]."""
    return unit.parameters - unit.experts


def _divided(
    rule: Sharding, unit: Unit, sizes: tuple[Count, ...], each: Message
) -> tuple[Message, ...]:
    """Return a unit's messages over the ranks that divide it; none over one rank.

    Args:
        rule: how states are divided.
        unit: whose messages they are.
        sizes: parameters of the dense ones [1].
        each: one of them, with the size of a parameter.
    """
    dense = [replace(each, size=each.size * size) for size in sizes]
    experts = replace(
        each,
        name=f"expert {each.name}",
        axis="expert-data",
        size=each.size * unit.experts,
    )
    sent = (*((one, rule.shards) for one in dense), (experts, rule.expert_shards))
    return tuple(message for message, ranks in sent if ranks > 1 and message.size)
