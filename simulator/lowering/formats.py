"""Bytes by number format, and what optimizers keep and move per parameter.

Mixed precision (Micikevicius et al., arXiv:1710.03740) keeps an fp32 master copy of
fp16 or bf16 weights. Per parameter, in bytes, an optimizer step in that mode

    copies the gradient to fp32 (reads 2, writes 4), reads it for the norm (4), scales
    it (8), reads and writes master weight and states (8 each, plus 4 for the
    gradient), copies the weight back (reads 4, writes 2), clears the gradient (2).

In fp8 weights, activations and messages are bf16. Both factors of a product with
weights are cast at each use, with one scale found anew for each, in blocks; the head,
attention and all else stay in bf16, at its rate. That is torchao's float8 training with
dynamic tensorwise scaling (from memory). Under Transformer Engine's kernels scales are
known before, and who casts what is in `models.operators.casts`. Of the fp8 rate,
products are taken to reach the share that they reach of others.

L-BFGS keeps n pairs of steps and of differences of gradients, the last gradient and
the direction. In its two loops a pair takes two dot products (two vectors read) and two
sums (two read, one written); beside them it makes the new pair (three, and two), scales
(two) and keeps the gradient (two), and the step reads the direction.

Fixed point (Gupta et al., arXiv:1502.02551) has one 16-bit word for everything, states
of the optimizer included, and no master copy: stochastic rounding lets small updates
pass on average. It takes one random number a result that is rounded, of every product
and every update. They come from shift registers beside the multipliers, as in the
authors' prototype (from memory), so they take no time here; on a device that computes
them they would. How many bits of the word are after the point changes the numbers and
not the time.

Source: L-BFGS, Nocedal and Wright, Numerical Optimization, algorithm 7.4; what is kept,
torch's `optim/lbfgs.py`; both from memory.

Limits: the dot products of L-BFGS send nothing where ranks divide the states; nor is
there a line search, whose further passes are steps of their own.
"""

from __future__ import annotations

from topologies.units import Bytes

NORM_BYTES: Bytes = 4
"""The gradient norm is agreed on as one fp32 number."""

_ELEMENT: dict[str, int] = {
    "fp32": 4,
    "tf32": 4,
    "fp16": 2,
    "bf16": 2,
    "fp8": 2,
    "fixed16": 2,
}
_STATES: dict[str, int] = {"adam": 2, "adagrad": 1, "momentum": 1, "sgd": 0}
_PAIR_PASSES = 2 * (2 + 3)
_LBFGS_PASSES = 3 + 2 + 2 + 2


def element_bytes(precision: str) -> int:
    """Return the bytes of one weight or activation, in memory and in messages [B]."""
    return _ELEMENT[precision]


def operand_bytes(precision: str) -> Bytes | None:
    """Return the bytes of a number cast for a product with weights, if it is [B]."""
    return 1.0 if precision == "fp8" else None


def dispatch_bytes(precision: str) -> Bytes | None:
    """Return the bytes of a number sent to experts; None for those of compute [B].

    In fp8 128 numbers share a scale of four bytes.

    Args:
        precision: as the plan says.

    >>> dispatch_bytes("fp8")
    1.03125
    """
    return 1.0 + 4 / 128 if precision == "fp8" else None


def cast_reads(kernels: str | None) -> int:
    """Return how often casts to the format of products read a factor [1].

    torch.compile finds a factor's largest number where it writes the factor, and
    Transformer Engine casts it there, with a scale of earlier steps (from memory).

    Args:
        kernels: whose they are, as the plan says.
    """
    return {"engine": 0, "compiled": 1}.get(kernels or "", 2)


def wide_format(precision: str) -> str:
    """Return the format of all that is not cast for products with weights."""
    return "bf16" if precision == "fp8" else precision


def is_mixed(precision: str) -> bool:
    """Return whether weights also exist as fp32 master copies."""
    return _ELEMENT[precision] < 4 and precision != "fixed16"


def optimizer_bytes(optimizer: str, precision: str, history: int = 0) -> Bytes:
    """Return the optimizer state kept per parameter, master copy included [B].

    Args:
        optimizer: by name.
        precision: in which parameters are kept.
        history: pairs that L-BFGS keeps [1].
    """
    states = _states(optimizer, history)
    if not is_mixed(precision):
        return float(_ELEMENT[precision] * states)
    return 4.0 * (states + 1)


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
    passes = 1 + 2 * (1 + _STATES.get(optimizer, 0))
    if optimizer == "lbfgs":
        passes += 1 + _PAIR_PASSES * history + _LBFGS_PASSES
    if not is_mixed(precision):
        return float(_ELEMENT[precision] * (passes + 1))
    cleared = _ELEMENT[gradient]
    copied = 0 if cleared == 4 else cleared + 4
    return float(copied + 4 + 8 + 4 * passes + (4 + 2) + cleared)


def _states(optimizer: str, history: int) -> int:
    return 2 * history + 2 if optimizer == "lbfgs" else _STATES[optimizer]
