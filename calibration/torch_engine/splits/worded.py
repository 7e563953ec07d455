"""Rows of a schedule in torch's words, with what they send and what stages gather.

A micro-batch takes a way through the ranks. DualPipe has two ways, one from either end,
and a rank then holds a stage of each. Torch knows stages by one number on one rank, so
each way has numbers of its own: stage s of way w is w (S + 1) + s. The number between
two ways is nobody's, as torch takes neighbours by number for neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch.distributed.pipelining.schedules import _Action

from simulator.lowering.schedules.actions import Action, Kind, Row, Schedule

Rows = dict[int, list[_Action]]


class Ways(NamedTuple):
    """The ways of a step's micro-batches through the ranks.

    Fields:
        paths: rank of every stage, by way.
        of: each micro-batch's way.
    """

    paths: tuple[tuple[int, ...], ...]
    of: tuple[int, ...]

    @property
    def num_stages(self) -> int:
        """Stages of one way [1]."""
        return len(self.paths[0])

    def number(self, stage: int, way: int) -> int:
        """Return torch's number of a stage."""
        return way * (self.num_stages + 1) + stage

    def stages(self, rank: int) -> list[tuple[int, int]]:
        """Return (way, stage) of all that a rank holds."""
        return [
            (way, stage)
            for way, path in enumerate(self.paths)
            for stage, place in enumerate(path)
            if place == rank
        ]

    def ranks(self) -> dict[int, int]:
        """Return the ranks of torch's numbers."""
        return {
            self.number(stage, way): rank
            for way, path in enumerate(self.paths)
            for stage, rank in enumerate(path)
        }


def ways_of(rows: Schedule) -> Ways:
    """Return which ways the micro-batches of a schedule take."""
    places = {action: rank for rank, row in enumerate(rows) for action in row}
    forward = sorted(
        (action.microbatch, action.stage, rank)
        for action, rank in places.items()
        if action.kind == "F"
    )
    taken: dict[int, tuple[int, ...]] = {}
    for microbatch, _, rank in forward:
        taken[microbatch] = (*taken.get(microbatch, ()), rank)
    paths = tuple(dict.fromkeys(taken.values()))
    return Ways(paths, tuple(paths.index(taken[number]) for number in sorted(taken)))


def torch_rows(rows: Schedule, ways: Ways) -> Rows:
    """Return rows in torch's words, the receives where their sends are.

    All ranks go on in turns, as far as what they need is there. So two ranks list what
    is between them in the same order.
    """
    named: Rows = {rank: [] for rank in range(len(rows))}
    waiting = [list(_framed(row, ways)) for row in rows]
    done: set[Action] = set()
    while any(waiting):
        for rank, row in enumerate(waiting):
            if not row or not _is_ready(row[0], done, ways):
                continue
            step = row.pop(0)
            if not isinstance(step, Action):
                named[rank].append(step)
                continue
            done.add(step)
            named[rank].append(_named(step, ways, step.kind))
            for place, word in _sent(step, rank, ways):
                named[place].append(word)
    return named


def _framed(row: Row, ways: Ways) -> Iterator[Action | _Action]:
    """Yield a row with what its stages do if ranks divide their parameters.

    All are gathered first, as torch does with up to three stages of a rank; each is
    reduced after its last backward pass.
    """
    numbers = {
        action: ways.number(action.stage, ways.of[action.microbatch]) for action in row
    }
    last = {numbers[action]: action for action in row if action.kind in {"B", "W"}}
    for number in dict.fromkeys(numbers.values()):
        yield _Action.from_str(f"{number}UNSHARD")
    for action in row:
        yield action
        if last[numbers[action]] == action:
            yield _Action.from_str(f"{numbers[action]}REDUCE_GRAD")
    for number in last:
        yield _Action.from_str(f"{number}RESHARD")


def _is_ready(step: Action | _Action, done: set[Action], ways: Ways) -> bool:
    """Return whether the pass before is done; a rank's own order does the rest."""
    if not isinstance(step, Action) or step.kind == "W":
        return True
    before = step.stage + (-1 if step.kind == "F" else 1)
    if not 0 <= before < ways.num_stages:
        return True
    kinds: tuple[Kind, ...] = ("F",) if step.kind == "F" else ("B", "I")
    return any(Action(before, kind, step.microbatch) in done for kind in kinds)


def _sent(action: Action, rank: int, ways: Ways) -> Iterator[tuple[int, _Action]]:
    """Yield the send that follows a pass and its receive, with their ranks."""
    if action.kind == "W":
        return
    letter = "F" if action.kind == "F" else "B"
    behind = action.stage + (1 if letter == "F" else -1)
    if not 0 <= behind < ways.num_stages:
        return
    target = ways.paths[ways.of[action.microbatch]][behind]
    if target != rank:
        yield rank, _named(action, ways, f"SEND_{letter}")
        yield target, _named(action._replace(stage=behind), ways, f"RECV_{letter}")


def _named(action: Action, ways: Ways, word: str) -> _Action:
    """Return what torch calls a pass, or a message of it."""
    number = ways.number(action.stage, ways.of[action.microbatch])
    return _Action.from_str(f"{number}{word}{action.microbatch}")
