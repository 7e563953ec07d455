"""Bytes by number format, and what optimizers keep and move per parameter.

Mixed precision (Micikevicius et al., arXiv:1710.03740) keeps an fp32 master copy of
fp16 or bf16 weights. Per parameter, in bytes, an optimizer step in that mode

    copies the gradient to fp32 (reads 2, writes 4), reads it for the norm (4), scales
    it (8), reads and writes master weight and states (8 each, plus 4 for the
    gradient), copies the weight back (reads 4, writes 2), clears the gradient (2).
"""

from __future__ import annotations

from topologies.units import Bytes

NORM_BYTES: Bytes = 4
"""The gradient norm is agreed on as one fp32 number."""

_ELEMENT: dict[str, int] = {"fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2, "fp8": 1}
_STATES: dict[str, int] = {"adam": 2, "momentum": 1, "sgd": 0}


def element_bytes(precision: str) -> int:
    """Return the bytes of one number in a format [B]."""
    return _ELEMENT[precision]


def is_mixed(precision: str) -> bool:
    """Return whether weights also exist as fp32 master copies."""
    return _ELEMENT[precision] < 4


def optimizer_bytes(optimizer: str, precision: str) -> Bytes:
    """Return the optimizer state kept per parameter, master copy included [B]."""
    return 4.0 * (_STATES[optimizer] + (1 if is_mixed(precision) else 0))


def optimizer_traffic(optimizer: str, precision: str, gradient: str) -> Bytes:
    """Return the bytes that an optimizer step moves per parameter [B].

    Args:
        optimizer: `adam`, `momentum` or `sgd`.
        precision: of compute.
        gradient: format in which gradients were summed; fp32 ones need no copy.
    """
    update = 4 + 8 * (1 + _STATES[optimizer])
    if not is_mixed(precision):
        return float(update + 4)
    cleared = _ELEMENT[gradient]
    copied = 0 if cleared == 4 else cleared + 4
    return float(copied + 4 + 8 + update + (4 + 2) + cleared)
