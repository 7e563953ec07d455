"""Casts to the format of products where writers cast: fp8 with delayed scaling.

A scale is known before a number is, from the largest numbers of earlier steps, so that
any kernel can write the narrow format. Tensor cores want the gradient of weights in fp8
from transposed factors, which takes kernels too:

===============  ============================  =====================================
                 forward                       backward
===============  ============================  =====================================
norm             writes what products read     -
activation       writes what products read     writes its gradient, and transposed
product          casts and transposes what     casts and transposes the gradient of
                 attention gives               its outputs, but an activation's;
                                               transposes its input, but attention's
===============  ============================  =====================================

Under sequence parallelism a row split casts its part of the gradient, gathers that in
fp8, and transposes the whole. Gathered inputs are in fp8, too.

Limits: weights are cast once a step, which takes no time here; nor do the scales of a
module, some kernels over a few numbers. Memory has no fp8 copies of weights.

Source: TransformerEngine v0.8, pytorch/module.py: LayerNormLinear, Linear and
LayerNormMLP, and their `grad_output_preprocess`.
"""

from __future__ import annotations

from models.operators.operator import Split
from models.operators.products import Linear
from models.work import Share, Work, memory_work


def casts_forward(linear: Linear, share: Share) -> tuple[Work, ...]:
    """Return the cast of an input that its writer left wide: one read, two written."""
    if not share.is_cast_by_writers or not linear.casts_input:
        return ()
    size = (share.element + 2 * share.factor) * _inputs(linear, share)
    return (memory_work(f"{linear.name} cast F", size),)


def casts_backward(linear: Linear, share: Share) -> tuple[Work, ...]:
    """Return the cast of the gradient of outputs, transposed unless it is gathered."""
    if not share.is_cast_by_writers or not linear.casts_gradient:
        return ()
    is_gathered = _is_gathered(linear, share)
    width = share.element + (2 - is_gathered) * share.factor
    part = share.sequence if linear.split is Split.ROW else 1
    size = width * _outputs(linear, share) / part
    return (memory_work(f"{linear.name} cast I", size),)


def transposes(linear: Linear, share: Share) -> tuple[Work, ...]:
    """Return what transposes factors before the gradient of weights.

    Each reads and writes once: inputs that were not kept so, gathered gradients.
    """
    if not share.is_cast_by_writers:
        return ()
    numbers, launches = 0.0, 0.0
    if not linear.casts_input:
        numbers, launches = numbers + _inputs(linear, share), launches + 1
    is_gathered = _is_gathered(linear, share)
    numbers = numbers + is_gathered * _outputs(linear, share)
    size = 2 * share.factor * numbers
    name = f"{linear.name} transpose W"
    return (memory_work(name, size, launches=launches + is_gathered),)


def _is_gathered(linear: Linear, share: Share) -> float:
    """Return whether the gradient of outputs is gathered, 1 or 0, for each plan."""
    return 1.0 * (share.sequence > 1) if linear.split is Split.ROW else 0.0


def _inputs(linear: Linear, share: Share) -> float:
    """Return the numbers that enter the product on one device [1]."""
    divisor = share.tensor if linear.split is Split.ROW else 1
    return _rows(linear, share) * linear.inner / divisor


def _outputs(linear: Linear, share: Share) -> float:
    """Return the numbers that the product gives on one device [1]."""
    divisor = share.tensor if linear.split is Split.COLUMN else 1
    return _rows(linear, share) * linear.columns / divisor


def _rows(linear: Linear, share: Share) -> float:
    divisor = share.sequence if linear.split is Split.NONE else 1
    return linear.rows * share.samples / divisor
