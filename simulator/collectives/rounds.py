"""Rounds: who sends how much to whom, what may run at once, and which blocks go."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

NO_BLOCK = -1


class Round(NamedTuple):
    """Sends that may run at once, `count` times in a row.

    A participant starts its sends of a round when all its own sends and receives of
    earlier rounds are done; a send is done when it has arrived.

    Fields:
        sender: participant of each send; in-network, n is the switch.
        receiver: the same for who receives.
        size: bytes of each send [B].
        count: how often the round is repeated [1].
    """

    sender: Integers
    receiver: Integers
    size: Floats
    count: int  # type: ignore[assignment]  # hides tuple.count


class Step(NamedTuple):
    """A round with what it carries; to simulate, the round is enough.

    Every send reads the sender's blocks as they were before the repetition.

    Fields:
        round: who sends how much to whom.
        adds: whether the receiver of each send adds to its blocks, or replaces them.
        blocks: of a repetition, from 0, the blocks that each send carries: one row
            for each send, filled up with `NO_BLOCK`. Large, so made when asked for.
        num_blocks: equal blocks that the whole is cut into, in all steps alike [1].
    """

    round: Round
    adds: Booleans
    blocks: Callable[[int], Integers]
    num_blocks: int


def step(  # noqa: PLR0913 - the one maker of a record
    sender: Integers,
    receiver: Integers,
    size: float | Floats,
    blocks: Callable[[int], Integers],
    *,
    num_blocks: int,
    adds: bool | Booleans,
    count: int = 1,
) -> Step:
    """Return a step; one size and one `adds` stand for all its sends.

    Args:
        sender: of each send.
        receiver: of each send.
        size: of each send [B].
        blocks: of a repetition, what each send carries.
        num_blocks: equal blocks that the whole is cut into [1].
        adds: whether the receiver adds.
        count: how often the step is repeated [1].
    """
    sizes = np.full(len(sender), size, np.float64)
    adding = np.full(len(sender), adds, np.bool_)
    return Step(Round(sender, receiver, sizes, count), adding, blocks, num_blocks)


def ranges(first: Integers, width: int) -> Callable[[int], Integers]:
    """Return consecutive blocks for each send, the same in every repetition.

    Args:
        first: block of each send.
        width: blocks of each send [1].
    """
    return partial(_ranges, first=first, width=width)


def pieces(first: Integers) -> Callable[[int], Integers]:
    """Return one block for each send, the next one in each repetition.

    Args:
        first: block of each send in repetition 0.
    """
    return partial(_pieces, first=first)


def _ranges(_repetition: int, first: Integers, width: int) -> Integers:
    return first[:, None] + np.arange(width)


def _pieces(repetition: int, first: Integers) -> Integers:
    return first[:, None] + repetition
