"""What one participant of a collective has to send and to receive, turn by turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from simulator.collectives.rounds import NO_BLOCK, Step


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
