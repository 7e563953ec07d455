"""Carrying out the sends of a collective on the blocks of a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from calibration.torch_engine.collectives.parts import Part, Turn
from calibration.torch_engine.collectives.peers import Peers


def carry_out(own: Sequence[Turn], blocks: Sequence[Tensor], peers: Peers) -> None:
    """Carry out one participant's part of a collective, in place.

    Args:
        own: what the participant does, turn by turn.
        blocks: that messages carry.
        peers: the other participants.

    Raises:
        RuntimeError: a peer is gone, or did not answer in time.
    """
    for turn in own:
        begin(turn, blocks, peers).end()


def cut(whole: Tensor, num_blocks: int) -> list[Tensor]:
    """Return the blocks of a tensor, which differ by one element at most.

    >>> [len(block) for block in cut(torch.zeros(7), 3)]
    [2, 2, 3]
    """
    length = whole.numel()
    ends = [length * block // num_blocks for block in range(num_blocks + 1)]
    return [whole[begin:end] for begin, end in pairwise(ends)]


@dataclass(frozen=True, slots=True)
class Begun:
    """A turn that is under way.

    Fields:
        turn: what it does.
        blocks: that messages carry.
        peers: the other participants.
        works: to wait for.
        arriving: what comes, by receive.
        leaving: what is sent, kept until it is.
    """

    turn: Turn
    blocks: Sequence[Tensor]
    peers: Peers
    works: list[Any]
    arriving: list[Tensor]
    leaving: list[Tensor]

    def end(self) -> None:
        """Wait for the turn, and lay down what came.

        What arrives is laid down when all is done: a turn sends what was there before.
        """
        self.peers.wait(self.works)
        for part, room in zip(self.turn.receives, self.arriving, strict=True):
            _lay_down(part, room, self.blocks)


def begin(turn: Turn, blocks: Sequence[Tensor], peers: Peers) -> Begun:
    """Begin to send and receive what one turn says."""
    arriving = [_room(part, blocks) for part in turn.receives]
    works = [
        peers.receive(part.peer, room)
        for part, room in zip(turn.receives, arriving, strict=True)
    ]
    leaving = [_packed(part, blocks) for part in turn.sends]
    works += [
        peers.send(part.peer, tensor)
        for part, tensor in zip(turn.sends, leaving, strict=True)
    ]
    return Begun(turn, blocks, peers, works, arriving, leaving)


def _room(part: Part, blocks: Sequence[Tensor]) -> Tensor:
    """Return a tensor for what a message brings."""
    return blocks[0].new_empty(sum(len(blocks[k]) for k in part.blocks))


def _packed(part: Part, blocks: Sequence[Tensor]) -> Tensor:
    """Return what a message brings; a block by itself is not copied."""
    if len(part.blocks) == 1:
        return blocks[part.blocks[0]]
    return torch.cat([blocks[0][:0], *(blocks[k] for k in part.blocks)])


def _lay_down(part: Part, room: Tensor, blocks: Sequence[Tensor]) -> None:
    """Add what a message brought to its blocks, or replace them."""
    targets = [blocks[k] for k in part.blocks]
    lengths = [len(target) for target in targets]
    pieces = torch.split(room, lengths) if targets else ()
    for target, piece in zip(targets, pieces, strict=True):
        if part.adds:
            target.add_(piece)
        else:
            target.copy_(piece)
