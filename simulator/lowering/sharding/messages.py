"""What is sent for a unit: its gathering, and the reduction of its gradients.

Sizes are those of the whole unit on one tensor rank, as NCCL counts them.

Limits: parts are not padded to equal sizes; what other ranks divide, such as experts,
would be further messages of a unit, on axes of their own.
"""

from __future__ import annotations

from typing import NamedTuple

from models.work import Work, memory_work
from simulator.lowering.sharding.rule import Sharding
from simulator.lowering.sharding.units import Unit
from simulator.workload import Message, Stream


class Reduction(NamedTuple):
    """One message of a reduction, and the stream that it is on."""

    stream: Stream
    message: Message


def gathering(rule: Sharding, unit: Unit) -> Message:
    """Return the gathering of a unit's parameters."""
    size = rule.element * unit.parameters
    return Message("parameters", "all-gather", "shard", size)


def reductions(rule: Sharding, unit: Unit) -> tuple[Reduction, ...]:
    """Return what sums a unit's gradients, each message after the one before.

    Over all replicas a reduce-scatter; in hybrid groups that, and an all-reduce of the
    parts among the ranks that hold the same.
    """
    size = rule.gradient * unit.parameters
    scattered = Message("gradients", "reduce-scatter", "shard", size)
    summed = Message("gradients", "all-reduce", "replicate", size / rule.shards)
    found = []
    if rule.shards > 1:
        found.append(Reduction("reduce", scattered))
    if rule.copies > 1:
        found.append(Reduction("data", summed))
    return tuple(found)


def copying_out(rule: Sharding, unit: Unit) -> Work:
    """Return the copying of a gathered unit to where kernels read it: in and out."""
    return memory_work("copy out", 2 * rule.element * unit.parameters)
