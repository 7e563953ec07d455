"""The expanded form: every message on its own, started when both of its ends are ready.

A participant reaches a round when all its messages of earlier rounds are done. A
message starts when its sender and its receiver have reached its round, takes its
latency, and then shares links as one flow. All that happens in one instant is handled
at once, in arrays, so a ring in step costs as many events as it has rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from simulator.network.fair import Flows
from simulator.network.fluid import FluidNetwork
from simulator.network.jobs import subset
from simulator.network.placing import PlacedRound
from topologies.graphs.arrays import Floats, Integers, expand
from topologies.units import BytesPerSecond, SecondsPerByte


class _Visits(NamedTuple):
    """Which rounds each participant takes part in, and its messages there.

    Fields:
        first: where each participant's visits begin, with the end behind the last.
        turns: repetitions of each visit's round [1].
        start: where each visit's messages begin, with the end behind the last.
        message: the messages.
    """

    first: Integers
    turns: Integers
    start: Integers
    message: Integers


class Expanded:
    """One run of some rounds, message by message; it owns their progress."""

    def __init__(
        self,
        network: FluidNetwork,
        rounds: Sequence[PlacedRound],
        delay: Floats,
        limit: BytesPerSecond = np.inf,
        work: SecondsPerByte = 0.0,
    ) -> None:
        """Begin; `done` triggers when the last message has arrived.

        Args:
            network: that carries the messages.
            rounds: of participants.
            delay: before each participant begins [s].
            limit: of the rate of a message [B/s].
            work: that every byte on every link makes for processors [s/B].
        """
        self.network, self.limit, self.work = network, limit, work
        self.done = network.clock.event()
        self.sender = np.concatenate([each.sender for each in rounds])
        self.receiver = np.concatenate([each.receiver for each in rounds])
        self.size = np.concatenate([each.size for each in rounds])
        self.latency = np.concatenate([each.latency for each in rounds])
        self.flows = _joined(rounds)
        self.has_links = np.diff(self.flows.start) > 0
        self.needed = np.where(self.sender == self.receiver, 1, 2)
        self.ready = np.zeros(len(self.sender), np.int64)
        self.visits = _visits(self.sender, self.receiver, rounds, len(delay))
        self.visit = self.visits.first[:-1].copy()
        self.turn = np.zeros(len(delay), np.int64)
        self.pending = np.zeros(len(delay), np.int64)
        taking_part = np.flatnonzero(np.diff(self.visits.first))
        self.num_left = len(taking_part)
        self._in_groups(taking_part, delay[taking_part], self._reach)

    def _reach(self, participants: Integers, _: Any = None) -> None:
        """Let participants reach the round they are at; start what is ready."""
        visit = self.visit[participants]
        self.pending[participants] = np.diff(self.visits.start)[visit]
        _, place = expand(self.visits.start, visit)
        message = self.visits.message[place]
        np.add.at(self.ready, message, 1)
        is_ready = self.ready[message] == self.needed[message]
        starting = _once(message[is_ready], len(self.ready))
        self.ready[starting] = 0
        self._in_groups(starting, self.latency[starting], self._enter)

    def _enter(self, messages: Integers, _: Any = None) -> None:
        """Put messages on their links; those without any have arrived."""
        moving = messages[self.has_links[messages]]
        if len(moving):
            self.network.start_flows(
                subset(self.flows, moving),
                self.size[moving],
                partial(self._arrive_of, moving),
                limit=self.limit,
                work=self.work,
            )
        if len(moving) < len(messages):
            there = messages[~self.has_links[messages]]
            # By way of the clock: thousands of empty rounds would nest too deep.
            timer = self.network.clock.timeout(0.0)
            timer.callbacks.append(partial(self._arrive, there))

    def _arrive_of(self, messages: Integers, places: Integers) -> None:
        self._arrive(messages[places])

    def _arrive(self, messages: Integers, _: Any = None) -> None:
        """Let the ends of messages go on, where these were their last in a round."""
        sender, receiver = self.sender[messages], self.receiver[messages]
        ends = np.concatenate([sender, receiver[receiver != sender]])
        np.subtract.at(self.pending, ends, 1)
        free = _once(ends[self.pending[ends] == 0], len(self.pending))
        self.turn[free] += 1
        is_through = self.turn[free] == self.visits.turns[self.visit[free]]
        through = free[is_through]
        self.turn[through] = 0
        self.visit[through] += 1
        is_over = self.visit[free] == self.visits.first[free + 1]
        self.num_left -= int(is_over.sum())
        if not self.num_left:
            self.done.succeed(self.network.clock.now)
        if not is_over.all():
            self._reach(free[~is_over])

    def _in_groups(self, members: Integers, delay: Floats, then: Any) -> None:
        """Call after each delay with those that have it; at once if there is none.

        Delays that rounding alone sets apart stay apart.
        """
        if not len(members):
            return
        is_one = delay.min() == delay.max()
        for each in delay[:1] if is_one else np.unique(delay):
            mine = members if is_one else members[delay == each]
            if each > 0:
                timer = self.network.clock.timeout(float(each))
                timer.callbacks.append(partial(then, mine))
            else:
                then(mine)


def _once(members: Integers, number: int) -> Integers:
    """Return members without repetitions, the last of each, in their order."""
    places = np.arange(len(members))
    last = np.empty(number, np.int64)
    last[members] = places
    once: Integers = members[last[members] == places]
    return once


def _joined(rounds: Sequence[PlacedRound]) -> Flows:
    """Return the flows of all rounds, one after the other."""
    counts = [np.diff(each.flows.start) for each in rounds]
    return Flows(
        np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(counts))]),
        np.concatenate([each.flows.link for each in rounds]),
        np.concatenate([each.flows.share for each in rounds]),
        np.concatenate([each.flows.weight for each in rounds]),
    )


def _visits(
    sender: Integers,
    receiver: Integers,
    rounds: Sequence[PlacedRound],
    num_participants: int,
) -> _Visits:
    """Return the visits of all participants, in order of rounds."""
    lengths = [len(each.sender) for each in rounds]
    of = np.repeat(np.arange(len(rounds)), lengths)
    message = np.arange(len(sender))
    is_pair = sender != receiver
    key = np.concatenate([sender, receiver[is_pair]]) * len(rounds)
    key += np.concatenate([of, of[is_pair]])
    message = np.concatenate([message, message[is_pair]])
    order = np.argsort(key, kind="stable")
    visit, start = np.unique(key[order], return_index=True)
    participant, round_ = np.divmod(visit, len(rounds))
    counts = np.array([each.count for each in rounds], np.int64)
    first = np.searchsorted(participant, np.arange(num_participants + 1))
    ends = np.append(start, len(key))
    return _Visits(first, counts[round_], ends, message[order])
