"""What a device keeps for every parameter: the parameter, its gradient, its state.

Parameters are kept in the format of compute, beside an fp32 master copy if that is
narrower (Micikevicius et al., arXiv:1710.03740), or in fp32 alone and cast when they
are used, as torch's FSDP does.

Where parameter servers update, they have the fp32 copy and the optimizer's state, on
their hosts; a device keeps parameters and gradients.

Source: Rajbhandari et al., arXiv:1910.02054, section 3.1 and figure 1 (bytes by stage).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from simulator.lowering.formats import (
    element_bytes,
    optimizer_bytes,
    optimizer_traffic,
)
from simulator.lowering.held import Held, added
from simulator.lowering.served import is_served
from simulator.lowering.sharding.rule import sharding_of
from simulator.plan import Plan
from topologies.units import Bytes, Count

if TYPE_CHECKING:
    from simulator.lowering.staged import LoweredStage


class States(NamedTuple):
    """Bytes that one device keeps, for each parameter or for all [B each]."""

    weights: Bytes
    gradients: Bytes
    optimizer: Bytes


def kept_precision(plan: Plan) -> str:
    """Return the format in which parameters are kept from step to step."""
    training, rule = plan.training, sharding_of(plan)
    is_divided = rule is not None and rule.stage == 3
    usual = "fp32" if is_divided else training.precision
    return training.parameter_precision or usual


def states_of(
    plan: Plan, *, of_experts: bool = False, zero: int | None = None
) -> States:
    """Return what a device keeps for each parameter, after division.

    With 16-bit parameters and gradients and Adam, 2 + 2 + 12 bytes, of which ZeRO
    divides the last by s, the last two, or all. A part of a gradient is kept no
    narrower than its parameter.

    Args:
        plan: of the step.
        of_experts: for those parameters of experts that not all replicas hold.
        zero: which states are divided; left out, as the plan says of all layers.
    """
    training, rule = plan.training, sharding_of(plan)
    kept = kept_precision(plan)
    weights, gradients = (
        element_bytes(kept),
        element_bytes(training.gradient_precision),
    )
    optimizer = optimizer_bytes(training.optimizer, kept, training.history)
    if is_served(plan):
        optimizer = 0.0
    zero = plan.parallelism.zero if zero is None else zero
    if rule is None or zero == 0:
        return States(weights, gradients, optimizer)
    shards = rule.expert_shards if of_experts else rule.shards
    optimizer /= shards
    whole = weights if zero < 3 else weights / shards
    if rule.keeps_whole_gradients(zero):
        return States(whole, gradients, optimizer)
    return States(whole, max(weights, gradients) / shards, optimizer)


def held_states(plan: Plan, stages: tuple[LoweredStage, ...]) -> States:
    """Return what a device keeps for all parameters of some stages [B each]."""
    total = States(0.0, 0.0, 0.0)
    for zero, (parameters, experts) in held_by_zero(stages).items():
        one = states_of(plan, zero=zero)
        other = states_of(plan, zero=zero, of_experts=True)
        dense = parameters - experts
        parts = zip(total, one, other, strict=True)
        total = States(*(sum_ + a * dense + b * experts for sum_, a, b in parts))
    return total


def held_by_zero(stages: tuple[LoweredStage, ...]) -> dict[int, Held]:
    """Return the parameters of some stages, by which states of them are divided."""
    return added(each for low in stages for each in low.by_zero.items())


def updated_parameters(plan: Plan, stages: tuple[LoweredStage, ...]) -> Count:
    """Return the parameters of some stages that one device's optimizer updates [1]."""
    rule = sharding_of(plan)
    total = 0.0
    for zero, (parameters, experts) in held_by_zero(stages).items():
        if rule is None or zero == 0:
            total += parameters
        else:
            dense = parameters - experts
            total += dense / rule.shards + experts / rule.expert_shards
    return total


def plan_traffic(plan: Plan) -> Bytes:
    """Return the bytes that a plan's optimizer moves for each of its parameters [B]."""
    training = plan.training
    kept, gradient = kept_precision(plan), training.gradient_precision
    return optimizer_traffic(training.optimizer, kept, gradient, training.history)
