"""Scales of fp8 that come from the largest numbers of earlier passes, on all ranks.

With delayed scaling each kernel that casts also finds the largest number that it sees.
At the end of every pass of a stage the ranks of a group agree on them, in one
all-reduce of a few bytes that the next kernel waits for: for each product the largest
of its input, weight and output after a forward, and those of two gradients after a
backward, four bytes each.

Limits: the kernels that turn them into scales cost nothing (one in all since 2024,
some per product before); nor do ranks that wait for a late one.

Source: TransformerEngine v0.8, pytorch/fp8.py (`fp8_autocast`) and pytorch/module.py
(`global_amax_reduction`, `set_meta_tensor`).
"""

from __future__ import annotations

from models.operators import Linear
from simulator.lowering.stages import Stage
from simulator.plan import Plan
from simulator.workload import Message

_FORWARD, _BACKWARD = 3, 2
_SCALE_BYTES = 4


def agreed_scales(
    plan: Plan, stage: Stage
) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """Return what a stage's forward and backward passes end with.

    Args:
        plan: of the step.
        stage: whose products are cast.
    """
    group = plan.training.scale_group
    products = sum(
        isinstance(operator, Linear)
        for layer in stage.layers
        if layer.role == "block"
        for operator in layer.operators
    )
    if group == "none" or not products:
        return (), ()
    forward, backward = (
        Message("scales", "all-reduce", group, _SCALE_BYTES * numbers * products)
        for numbers in (_FORWARD, _BACKWARD)
    )
    return (forward,), (backward,)
