"""What one participant of a collective has to send and to receive, turn by turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from simulator.collectives.algorithm import Algorithm
from simulator.collectives.options import Options
from simulator.collectives.rounds import NO_BLOCK, Step
from topologies.units import Bytes


class Part(NamedTuple):
    """One message of a participant.

    Fields:
        peer: participant at its other end.
        blocks: that it carries, in order.
        adds: whether the receiver adds to its blocks, or replaces them.
    """

    peer: int
    blocks: tuple[int, ...]
    adds: bool


class Turn(NamedTuple):
    """One repetition of a round, as one participant sees it.

    Two participants list the messages between them in the same order.

    Fields:
        sends, receives: that begin at once.
    """

    sends: tuple[Part, ...]
    receives: tuple[Part, ...]


class Own(NamedTuple):
    """All that a participant does in a collective.

    Fields:
        steps: of all participants.
        turns: its own.
    """

    steps: tuple[Step, ...]
    turns: tuple[Turn, ...]


@lru_cache(maxsize=1024)
def own_part(
    row: Algorithm, num_ranks: int, size: Bytes, options: Options, place: int
) -> Own:
    """Return what a participant does in a collective; worked out once.

    Args:
        row: of the table of collectives.
        num_ranks: n [1].
        size: in NCCL's convention for the pattern [B].
        options: choices within the algorithm.
        place: number of the participant.
    """
    steps = tuple(row.sends(num_ranks, size, options))
    return Own(steps, tuple(turns(steps, place)))


def turns(steps: Iterable[Step], place: int) -> Iterator[Turn]:
    """Yield the turns in which a participant sends or receives, in order.

    Args:
        steps: of a collective.
        place: number of the participant.
    """
    for each in steps:
        sender, receiver = each.round.sender.tolist(), each.round.receiver.tolist()
        going = [k for k, end in enumerate(sender) if end == place]
        coming = [k for k, end in enumerate(receiver) if end == place]
        if not (going or coming):
            continue
        adds = each.adds.tolist()
        for repetition in range(each.round.count):
            rows = each.blocks(repetition)
            blocks = {
                k: tuple(rows[k][rows[k] != NO_BLOCK].tolist())
                for k in {*going, *coming}
            }
            yield Turn(
                tuple(Part(receiver[k], blocks[k], adds[k]) for k in going),
                tuple(Part(sender[k], blocks[k], adds[k]) for k in coming),
            )
