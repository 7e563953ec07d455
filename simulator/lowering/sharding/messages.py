"""What is sent for a unit: its gathering, and the reduction of its gradients.

Sizes are those of the whole unit on one tensor rank, as NCCL counts them. What a unit
has of experts that not all replicas hold is gathered and reduced among those that do,
after the rest.

Limits: parts are not padded to equal sizes.
"""

from __future__ import annotations

from typing import NamedTuple

from models.work import Work, memory_work
from simulator.lowering.sharding.rule import Sharding
from simulator.lowering.sharding.units import Unit
from simulator.workload import Message, Pattern, Stream
from topologies.units import Bytes


class Reduction(NamedTuple):
    """Messages of a reduction in a row, and the stream that they are on."""

    stream: Stream
    messages: tuple[Message, ...]


def gathering(rule: Sharding, unit: Unit) -> tuple[Message, ...]:
    """Return the gathering of a unit's parameters."""
    return _divided(rule, unit, "parameters", "all-gather", rule.element)


def gathering_again(rule: Sharding, unit: Unit) -> tuple[Message, ...]:
    """Return what of a unit is gathered a second time after recomputation.

    Weights that are dropped after each use, but for the last, which is used next.
    """
    return gathering(rule, unit)[:-1] if rule.is_regathered else ()


def reductions(rule: Sharding, unit: Unit) -> tuple[Reduction, ...]:
    """Return what sums a unit's gradients, each after the one before.

    Over all replicas a reduce-scatter; in hybrid groups that, and an all-reduce of the
    parts among the ranks that hold the same.
    """
    scattered = _divided(rule, unit, "gradients", "reduce-scatter", rule.gradient)
    found = [Reduction("reduce", scattered)] if scattered else []
    if rule.copies > 1:
        size = rule.gradient * unit.parameters / rule.shards
        summed = Message("gradients", "all-reduce", "replicate", size)
        found.append(Reduction("data", (summed,)))
    return tuple(found)


def copying_out(rule: Sharding, unit: Unit) -> Work:
    """Return the copying of a gathered unit to where kernels read it: in and out."""
    gathered = sum(message.size for message in gathering(rule, unit))
    return memory_work("copy out", 2 * gathered)


def _divided(
    rule: Sharding, unit: Unit, name: str, pattern: Pattern, element: Bytes
) -> tuple[Message, ...]:
    """Return a unit's messages over the ranks that divide it; none over one rank."""
    whole = unit.parameters - unit.experts
    sizes = unit.weights if rule.gathers_weights else (whole,)
    dense = [Message(name, pattern, "shard", element * size) for size in sizes]
    experts = Message(f"expert {name}", pattern, "expert-data", element * unit.experts)
    sent = (*((each, rule.shards) for each in dense), (experts, rule.expert_shards))
    return tuple(message for message, ranks in sent if ranks > 1 and message.size)
