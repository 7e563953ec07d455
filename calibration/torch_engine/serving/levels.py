"""The way of gradients to servers and of parameters back, level by level.

Inside a node devices push to their host, or to each other, each variable to the one
that keeps it; between nodes, hosts or those devices push to servers. At every level the
sends are those of the rows `push` and `pull` of the table of collectives.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from calibration.torch_engine.collectives.carrying import begin
from calibration.torch_engine.collectives.parts import Part, Turn, own_part
from calibration.torch_engine.collectives.peers import Peers
from calibration.torch_engine.serving.pieces import Pieces, length, picked, put
from simulator.collectives import TABLE, Options
from simulator.collectives.algorithm import Pattern


class Level(NamedTuple):
    """One participant's place at a level.

    Fields:
        peers: workers, and behind them servers that are not among the workers.
        workers: participants that push [1].
        servers: participants that add [1].
        is_colocated: whether servers are the first of the workers.
        split: which pieces each server adds.
    """

    peers: Peers
    workers: int
    servers: int
    is_colocated: bool
    split: Callable[[Pieces], list[Pieces]]

    @property
    def is_worker(self) -> bool:
        """Whether it pushes and pulls."""
        return self.peers.place < self.workers

    @property
    def own(self) -> int | None:
        """Its number among the servers; None if it is not one."""
        first = 0 if self.is_colocated else self.workers
        number = self.peers.place - first
        return number if 0 <= number < self.servers else None

    def turn(self, pattern: Pattern, parts: list[Pieces]) -> Turn:
        """Return what it sends and receives; messages of nothing are left out."""
        options = Options(num_servers=self.servers, is_colocated=self.is_colocated)
        size = float(sum(map(length, parts)))
        row = TABLE[pattern, "sharded"]
        found = own_part(row, self.workers, size, options, self.peers.place).turns
        sends, receives = found[0] if found else Turn((), ())
        return Turn(_filled(sends, parts), _filled(receives, parts))


Way = Sequence[Level]
"""A participant's levels, from the devices on; it ends where it is no server."""


class Moving:
    """A push or a pull whose first level is under way."""

    def __init__(self, steps: Generator[None, None, Tensor | None]) -> None:
        self._steps = steps
        next(steps)

    def end(self) -> Tensor | None:
        """Go through all levels, and return what came."""
        while True:
            try:
                next(self._steps)
            except StopIteration as stop:
                found: Tensor | None = stop.value
                return found


def push(
    way: Way, values: Tensor | None, pieces: Pieces, dtype: torch.dtype
) -> Generator[None, None, Tensor | None]:
    """Send gradients up, and return the sums that end here, if any do.

    Args:
        way: of this participant.
        values: its own gradients; None if it only adds.
        pieces: what is pushed.
        dtype: of gradients.
    """
    for level in way:
        parts = level.split(pieces)
        blocks = [
            torch.zeros(length(part), dtype=dtype)
            if values is None
            else picked(values, pieces, part)
            for part in parts
        ]
        begun = begin(level.turn("push", parts), blocks, level.peers)
        yield
        begun.end()
        if level.own is None:
            return None
        values, pieces = blocks[level.own], parts[level.own]
    return values


def pull(
    way: Way, values: Tensor | None, pieces: Pieces, dtype: torch.dtype
) -> Generator[None, None, Tensor | None]:
    """Bring parameters down, and return them to a worker.

    Args:
        way: of this participant.
        values: what it keeps of them; None if nothing.
        pieces: what is pulled.
        dtype: of parameters.
    """
    levels: list[tuple[Level, Pieces, list[Pieces]]] = []
    whole = pieces
    for level in way:
        parts = level.split(whole)
        levels.append((level, whole, parts))
        if level.own is not None:
            whole = parts[level.own]
    for level, whole, parts in reversed(levels):
        blocks = [torch.empty(length(part), dtype=dtype) for part in parts]
        if level.own is not None and values is not None:
            blocks[level.own] = values
        begun = begin(level.turn("pull", parts), blocks, level.peers)
        yield
        begun.end()
        if not level.is_worker:
            return None
        values = torch.empty(length(whole), dtype=dtype)
        for block, part in zip(blocks, parts, strict=True):
            put(values, whole, block, part)
    return values


def kept(way: Way, pieces: Pieces) -> Pieces:
    """Return the pieces whose sums end with this participant."""
    for level in way:
        if level.own is None:
            return ()
        pieces = level.split(pieces)[level.own]
    return pieces


def is_only_sending(way: Way) -> bool:
    """Return whether nothing of a push comes here, so that a pull may begin at once."""
    return len(way) == 1 and way[0].own is None


def _filled(messages: tuple[Part, ...], parts: list[Pieces]) -> tuple[Part, ...]:
    return tuple(
        each for each in messages if any(length(parts[k]) for k in each.blocks)
    )
