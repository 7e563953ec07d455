"""Which part of attention's square a device computes under context parallelism.

The tokens of a sample are divided over c devices; each has the rows of its queries,
which meet the keys of all devices. Under a causal mask a device with the last tokens
would compute (2 c - 1) / c times the mean, so that balanced devices have two pieces
of 2 c instead, one from either end: device i the pieces i and 2 c - 1 - i.

Assumes: where it is not balanced, the device with the last tokens, for which the others
wait.

Source: Llama 3, arXiv:2407.21783, section 3.3.2 (two of 2 c pieces); the halves of a
step around a ring, TransformerEngine's context_parallel.py.
"""

from __future__ import annotations

from typing import NamedTuple


class Square(NamedTuple):
    """A part of the square of queries and keys that is one kernel's work.

    Fields:
        rows: queries of a head [1].
        keys: that they meet [1].
        filled: of rows · keys, what the mask leaves [1].
        portion: of the device's queries and all keys, in FLOP of the mathematics [1].
    """

    rows: float
    keys: float
    filled: float = 1.0
    portion: float = 1.0


def whole_square(
    tokens: float, context: float, *, is_causal: bool, is_balanced: bool = True
) -> Square:
    """Return the device's queries against the keys of all, in one kernel.

    Of the square a causal mask leaves 1 / 2, and (2 c - 1) / (2 c) to the last device
    where the pieces are not balanced.

    Args:
        tokens: s, of a sample [1].
        context: c, devices that divide them [1].
        is_causal: whether the mask is triangular.
        is_balanced: whether each device has a piece from either end.
    """
    filled = 1.0
    if is_causal:
        filled = 0.5 if is_balanced else (2 * context - 1) / (2 * context)
    return Square(tokens / context, tokens, filled)


def ring_squares(
    tokens: float, context: float, *, is_causal: bool, is_balanced: bool = True
) -> tuple[Square, Square]:
    """Return the first step around a ring, with own keys, and each of the others.

    A balanced device leaves out half of its queries, or half of the keys, of every
    step but the first; one with the last tokens leaves out nothing.

    Args:
        tokens: s, of a sample [1].
        context: c, devices that divide them [1].
        is_causal: whether the mask is triangular.
        is_balanced: whether each device has a piece from either end.
    """
    part = tokens / context
    own = Square(part, part, 0.5 if is_causal else 1.0, 1 / context)
    is_halved = is_causal and is_balanced
    keys = part / 2 if is_halved else part
    return own, Square(part, keys, portion=1 / context)
