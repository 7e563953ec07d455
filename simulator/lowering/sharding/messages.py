"""What is sent for a unit: its gathering, and the reduction of its gradients.

Sizes are those of the whole unit on one tensor rank, as NCCL counts them.

Experts that not all replicas hold are in messages of their own, after the others, on
the axis of the ranks that hold the same ones.

Limits: parts are not padded to equal sizes.
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


def gathering(rule: Sharding, unit: Unit) -> tuple[Message, ...]:
    """Return the gathering of a unit's parameters, and of its experts'."""
    found = []
    size = rule.element * (unit.parameters - unit.of_experts)
    if rule.shards > 1 and size:
        found.append(Message("parameters", "all-gather", "shard", size))
    of_experts = rule.element * unit.of_experts
    if rule.expert_shards > 1 and of_experts:
        name = "expert parameters"
        found.append(Message(name, "all-gather", "expert-data", of_experts))
    return tuple(found)


def reductions(rule: Sharding, unit: Unit) -> tuple[Reduction, ...]:
    """Return what sums a unit's gradients, each message after the one before.

    Over all replicas a reduce-scatter; in hybrid groups that, and an all-reduce of the
    parts among the ranks that hold the same.
    """
    size = rule.gradient * (unit.parameters - unit.of_experts)
    scattered = Message("gradients", "reduce-scatter", "shard", size)
    summed = Message("gradients", "all-reduce", "replicate", size / rule.shards)
    found = []
    if rule.shards > 1 and size:
        found.append(Reduction("reduce", scattered))
    of_experts = rule.gradient * unit.of_experts
    if rule.expert_shards > 1 and of_experts:
        name = "expert gradients"
        divided = Message(name, "reduce-scatter", "expert-data", of_experts)
        found.append(Reduction("reduce", divided))
    if rule.copies > 1:
        found.append(Reduction("data", summed))
    return tuple(found)


def copying_out(rule: Sharding, unit: Unit) -> Work:
    """Return the copying of a gathered unit to where kernels read it: in and out."""
    messages = gathering(rule, unit)
    return memory_work("copy out", 2 * sum(message.size for message in messages))
