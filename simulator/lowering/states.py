"""What a device keeps for every parameter: the parameter, its gradient, its state.

Parameters are kept in the format of compute, beside an fp32 master copy if that is
narrower (Micikevicius et al., arXiv:1710.03740), or in fp32 alone and cast when they
are used, as torch's FSDP does.

Source: Rajbhandari et al., arXiv:1910.02054, section 3.1 and figure 1 (bytes by stage).
"""

from __future__ import annotations

from typing import NamedTuple

from simulator.lowering.formats import (
    element_bytes,
    optimizer_bytes,
    optimizer_traffic,
)
from simulator.lowering.sharding.rule import sharding_of
from simulator.plan import Plan
from topologies.units import Bytes


class States(NamedTuple):
    """Bytes that one device keeps for each parameter of its stages [B each]."""

    weights: Bytes
    gradients: Bytes
    optimizer: Bytes


def kept_precision(plan: Plan) -> str:
    """Return the format in which parameters are kept from step to step."""
    training, rule = plan.training, sharding_of(plan)
    is_divided = rule is not None and rule.stage == 3
    usual = "fp32" if is_divided else training.precision
    return training.parameter_precision or usual


def states_of(plan: Plan) -> States:
    """Return what a device keeps for each parameter, after division.

    With 16-bit parameters and gradients and Adam, 2 + 2 + 12 bytes, of which ZeRO
    divides the last by s, the last two, or all. A part of a gradient is kept no
    narrower than its parameter.
    """
    training, rule = plan.training, sharding_of(plan)
    kept = kept_precision(plan)
    weights, gradients = (
        element_bytes(kept),
        element_bytes(training.gradient_precision),
    )
    optimizer = optimizer_bytes(training.optimizer, kept)
    if rule is None:
        return States(weights, gradients, optimizer)
    optimizer /= rule.shards
    whole = weights if rule.stage < 3 else weights / rule.shards
    if rule.keeps_whole_gradients:
        return States(whole, gradients, optimizer)
    return States(whole, max(weights, gradients) / rule.shards, optimizer)


def plan_traffic(plan: Plan) -> Bytes:
    """Return the bytes that a plan's optimizer moves for each of its parameters [B]."""
    training = plan.training
    kept, gradient = kept_precision(plan), training.gradient_precision
    return optimizer_traffic(training.optimizer, kept, gradient)
