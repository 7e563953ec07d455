"""A zero-bubble schedule found for given times and a memory limit: a greedy search.

All ranks run on one clock, and each takes its next pass when it is free:

* before its first I, an F whenever it has one and room for it, unless that would
  delay the I;
* after that F and I in turn, waiting for the one whose turn it is;
* a W instead, if one is there, when F lacks room, when W fits into the wait, or when
  the wait would make this rank the one that has waited longest.

Source: the heuristic of Qi et al., arXiv:2401.10241, section 3.1, written anew; its
bubbles at twice the memory of 1F1B are those of the paper's table 5 (tested).
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf
from typing import NamedTuple

from simulator.lowering.schedules.actions import Action, Kind, Schedule
from simulator.lowering.schedules.zero_bubble import zero_bubble
from topologies.units import Count, Ratio, Seconds


class Times(NamedTuple):
    """What a search goes by.

    Fields:
        forward, backward_input, backward_weight: of one micro-batch on one rank [s].
        transfer: from a stage to the next [s].
        weight_share: of what a micro-batch keeps, the part that stays from I to W [1].
    """

    forward: Seconds = 1.0
    backward_input: Seconds = 1.0
    backward_weight: Seconds = 1.0
    transfer: Seconds = 0.0
    weight_share: Ratio = 1.0


def automatic(pipeline: int, microbatches: int, times: Times, limit: Count) -> Schedule:
    """Return the best of the searched schedules, ZB-H1, and ZB-H2 where it fits.

    The best is the one whose longest row is shortest: what counts where steps follow
    one another without meeting (post-validation), as in the paper.

    Args:
        pipeline: p [1].
        microbatches: m [1].
        times: to go by.
        limit: micro-batches whose activations a rank can keep, at least p [1].
    """
    found = [
        _Search(pipeline, microbatches, times, limit, may_swap=may_swap).run()
        for may_swap in (False, True)
    ]
    for depth in (1, 2):
        if depth * (pipeline - 1) + 1 <= limit:
            rows = (
                zero_bubble(rank, pipeline, microbatches, depth)
                for rank in range(pipeline)
            )
            found.append(tuple(rows))
    return min(found, key=lambda rows: longest_row(rows, times))


_SLACK = 2.0**-30  # of a pass; sums of the same times in another order


@dataclass(slots=True)
class _Rank:
    """How far a rank has come; numbers of passes done [1] and times [s]."""

    forwards: int = 0
    inputs: int = 0
    weights: int = 0
    free: Seconds = 0.0
    waited: Seconds = 0.0
    last: Kind = "I"

    def kept(self, share: Ratio) -> float:
        """Return the micro-batches whose activations are there [1]."""
        return self.forwards - (1 - share) * self.inputs - share * self.weights


class _Search:
    """One run of the clock; `run` is called once."""

    def __init__(
        self,
        pipeline: int,
        microbatches: int,
        times: Times,
        limit: Count,
        *,
        may_swap: bool,
    ) -> None:
        """Prepare; `may_swap` lets I go first while the F whose turn it is lacks."""
        self.last = pipeline - 1
        self.microbatches = microbatches
        self.times = times
        self.limit = limit
        self.may_swap = may_swap
        self.slack = _SLACK * times.forward
        self.ranks = [_Rank() for _ in range(pipeline)]
        self.rows: list[list[Action]] = [[] for _ in range(pipeline)]
        self.end: dict[Action, Seconds] = {}
        self.wake = [(0.0, rank) for rank in range(pipeline)]

    def run(self) -> Schedule:
        """Return the rows; the moments at which ranks look for work pass in order."""
        while self.wake:
            now, index = heappop(self.wake)
            if now < self.ranks[index].free - self.slack:
                continue
            kind, until = self.choose(index, now)
            if kind is not None:
                self.take(index, kind, now)
            elif now < until < inf:
                heappush(self.wake, (until, index))
        return tuple(map(tuple, self.rows))

    def choose(self, index: int, now: Seconds) -> tuple[Kind | None, Seconds]:
        """Return what a rank does now; or None, and until when it waits."""
        rank = self.ranks[index]
        forward, backward = self.forward_ready(index), self.input_ready(index)
        soon = now + self.slack
        if rank.inputs == 0:
            if backward <= soon:
                return "I", now
            is_late = backward < inf and now + self.times.forward > backward
            if forward <= soon and not is_late:
                return "F", now
            return None, min(forward, backward)
        is_forward = rank.last == "I" and rank.forwards < self.microbatches
        if is_forward and rank.weights < rank.inputs and not self.has_room(rank):
            return "W", now
        until = forward if is_forward else backward
        if until <= soon:
            return ("F" if is_forward else "I"), now
        if is_forward and self.may_swap:
            if backward <= soon:
                return "I", now
            until = min(until, backward)
        return ("W" if self.fills(rank, until - now) else None), until

    def fills(self, rank: _Rank, gap: Seconds) -> bool:
        """Return whether a rank that has to wait does a W meanwhile."""
        if rank.weights == rank.inputs:
            return False
        longest = max(other.waited for other in self.ranks)
        fits = gap >= self.times.backward_weight - self.slack
        return fits or rank.waited + gap > longest

    def has_room(self, rank: _Rank) -> bool:
        """Return whether the activations of one more forward fit."""
        return rank.kept(self.times.weight_share) + 1 <= self.limit + _SLACK

    def forward_ready(self, index: int) -> Seconds:
        """Return when a rank's next F can begin; infinity if that is not known."""
        rank = self.ranks[index]
        if rank.forwards == self.microbatches or not self.has_room(rank):
            return inf
        if index == 0:
            return 0.0
        before = Action(index - 1, "F", rank.forwards)
        return self.end.get(before, inf) + self.times.transfer

    def input_ready(self, index: int) -> Seconds:
        """Return when a rank's next I can begin; infinity if that is not known."""
        rank = self.ranks[index]
        if rank.inputs == rank.forwards:
            return inf
        if index == self.last:
            return self.end[Action(index, "F", rank.inputs)]
        behind = Action(index + 1, "I", rank.inputs)
        return self.end.get(behind, inf) + self.times.transfer

    def take(self, index: int, kind: Kind, now: Seconds) -> None:
        """Let a rank do a pass, and wake whoever may wait for it."""
        rank, row = self.ranks[index], self.rows[index]
        if row:
            rank.waited += now - rank.free
        if kind == "F":
            number, time, other = rank.forwards, self.times.forward, index + 1
            rank.forwards += 1
        elif kind == "I":
            number, time, other = rank.inputs, self.times.backward_input, index - 1
            rank.inputs += 1
        else:
            number, time, other = rank.weights, self.times.backward_weight, -1
            rank.weights += 1
        action = Action(index, kind, number)
        row.append(action)
        rank.free = self.end[action] = now + time
        heappush(self.wake, (rank.free, index))
        if kind != "W":
            rank.last = kind
        if 0 <= other <= self.last:
            heappush(self.wake, (rank.free + self.times.transfer, other))


def longest_row(rows: Schedule, times: Times) -> Seconds:
    """Return the longest time from a rank's first pass to its last [s].

    Steps of such rows follow one another without a gap on that rank, if no rank waits
    for the others between steps.
    """
    durations = {
        "F": times.forward,
        "I": times.backward_input,
        "W": times.backward_weight,
    }
    end: dict[Action, Seconds] = {}
    free, begin = [0.0] * len(rows), [0.0] * len(rows)
    left = [list(reversed(row)) for row in rows]
    is_moving = True
    while is_moving:
        is_moving = False
        for rank, row in enumerate(left):
            while row:
                stage, kind, number = row[-1]
                step = {"F": -1, "I": 1}.get(kind, 0)
                other = Action(stage + step, kind, number)
                ready = 0.0
                if step and 0 <= stage + step < len(rows):
                    if other not in end:
                        break
                    ready = end[other] + times.transfer
                start = max(ready, free[rank])
                if len(row) == len(rows[rank]):
                    begin[rank] = start
                free[rank] = end[row.pop()] = start + durations[kind]
                is_moving = True
    return max(stop - start for stop, start in zip(free, begin, strict=True))
