"""Bytes by number format, and what optimizers keep and move per parameter.

Mixed precision (Micikevicius et al., arXiv:1710.03740) keeps an fp32 master copy of
fp16 or bf16 weights. Per parameter, in bytes, an optimizer step in that mode

    copies the gradient to fp32 (reads 2, writes 4), reads it for the norm (4), scales
    it (8), reads and writes master weight and states (8 each, plus 4 for the
    gradient), copies the weight back (reads 4, writes 2), clears the gradient (2).

L-BFGS keeps n pairs of steps and of differences of gradients, the last gradient and the
direction. Its two loops over the pairs take two dot products and two sums of vectors a
pair (2 (8 + 12) bytes); beside them it makes the new pair (12 + 8), scales (8) and
keeps the gradient (8), and steps along the direction (reads it).

Source: L-BFGS, Nocedal and Wright, Numerical Optimization, algorithm 7.4; what is kept,
`torch/optim/lbfgs.py`; both from memory.

Limits: dot products over ranks that divide the states send nothing; nor is there a line
search, whose further passes are steps of their own.
"""

from __future__ import annotations

from topologies.units import Bytes

NORM_BYTES: Bytes = 4
"""The gradient norm is agreed on as one fp32 number."""

_ELEMENT: dict[str, int] = {"fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2, "fp8": 1}
_STATES: dict[str, int] = {"adam": 2, "adagrad": 1, "momentum": 1, "sgd": 0}


_PAIR_BYTES = 2 * (8 + 12)
_LBFGS_BYTES = 12 + 8 + 8 + 8


def element_bytes(precision: str) -> int:
    """Return the bytes of one number in a format [B]."""
    return _ELEMENT[precision]


def is_mixed(precision: str) -> bool:
    """Return whether weights also exist as fp32 master copies."""
    return _ELEMENT[precision] < 4


def optimizer_bytes(optimizer: str, precision: str, history: int = 0) -> Bytes:
    """Return the optimizer state kept per parameter, master copy included [B].

    Args:
        optimizer: by name.
        precision: in which parameters are kept.
        history: pairs that L-BFGS keeps [1].
    """
    return 4.0 * (_states(optimizer, history) + (1 if is_mixed(precision) else 0))


def working_bytes(optimizer: str) -> Bytes:
    """Return what only the optimizer's step needs per parameter [B].

    L-BFGS has the vector that its loops change beside the last direction.
    """
    return 4.0 if optimizer == "lbfgs" else 0.0


def optimizer_traffic(
    optimizer: str, precision: str, gradient: str, history: int = 0
) -> Bytes:
    """Return the bytes that an optimizer step moves per parameter [B].

    Args:
        optimizer: by name.
        precision: of compute.
        gradient: format in which gradients were summed; fp32 ones need no copy.
        history: pairs that L-BFGS keeps [1].
    """
    if optimizer == "lbfgs":
        update = 4 + 8 + _PAIR_BYTES * history + _LBFGS_BYTES
    else:
        update = 4 + 8 * (1 + _STATES[optimizer])
    if not is_mixed(precision):
        return float(update + 4)
    cleared = _ELEMENT[gradient]
    copied = 0 if cleared == 4 else cleared + 4
    return float(copied + 4 + 8 + update + (4 + 2) + cleared)


def _states(optimizer: str, history: int) -> int:
    return 2 * history + 2 if optimizer == "lbfgs" else _STATES[optimizer]
