"""Traffic: what a collective, or anything else in rounds, does to a network.

Three forms, from few events to many:

* fluid: where every round is EVEN, that is all its messages, alone on the network,
  have one latency and end together, and every message of a round waits for one of the
  round before. Each round with its repetitions is one job, and so are equal jobs in a
  row. Alone this is exact; the number of events does not depend on that of ranks.
  Latencies may differ where one round repeated is all there is and no message slows
  another, as in a ring over the leaves of a tree: the longest sets the pace.
* expanded: message by message, for all else.
* rounds: for all else beyond `MAX_MESSAGES`. Each round is run alone, once, message
  by message, and becomes a job of that length; the next one waits for all of it.
  What runs ahead in truth is held back, or does not get in the way of others. Where
  one round repeated is exact as a job (`phases.paced_phase`), as a ring is in any
  order, it is one beyond `MAX_PACED` messages already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np

from simulator.collectives.rounds import Round
from simulator.network.clock import PrivateClock
from simulator.network.expanded import Expanded
from simulator.network.fluid import FluidNetwork
from simulator.network.phases import (
    Phase,
    even_phase,
    is_one,
    merged,
    paced_phase,
    timed_phase,
    transfer_times,
)
from simulator.network.placing import PlacedRound, Placing
from simulator.network.router import Router
from topologies.graphs.arrays import Floats
from topologies.units import Bytes, BytesPerSecond, Count, Seconds, SecondsPerByte

MAX_MESSAGES = 20_000  # where few of them coincide, seconds
MAX_PACED = 2_000


class Labour(NamedTuple):
    """What sending makes for the processors of those who send, pass on and receive.

    Fields:
        byte: processor time of a byte on a link [s/B].
        message: processor time of a message, at both of its ends [s].
    """

    byte: SecondsPerByte = 0.0
    message: Seconds = 0.0

    @property
    def is_any(self) -> bool:
        """Whether it makes anything."""
        return self.byte > 0 or self.message > 0

    def of(self, num_messages: Count, size: Bytes) -> Seconds:
        """Return the processor time of some messages [s].

        T = n message + size byte

        Args:
            num_messages: n [1].
            size: of all of them, on each of their links [B].

        Assumes: processors take as long for every byte, whoever else sends.
        Source: derived above.
        """
        return num_messages * self.message + size * self.byte


NO_LABOUR = Labour()

Form = Literal["fluid", "expanded", "rounds"]


@dataclass(frozen=True, eq=False)
class Traffic:
    """Rounds on a network: which links, how many bytes, and when.

    Fields:
        rounds: placed on endpoints.
        bandwidth: of every link [B/s].
        start: before anything is sent, once [s].
        flow_limit: of the rate of one message [B/s].
        delay: of each participant, before it begins [s].
        labour: what sending makes for the processors of the hosts.
    """

    rounds: Placing
    bandwidth: Floats
    start: Seconds
    flow_limit: BytesPerSecond
    delay: Floats = field(repr=False)
    labour: Labour = NO_LABOUR

    @classmethod
    def place(  # noqa: PLR0913 - three things to place and five options
        cls,
        router: Router,
        groups: Sequence[Sequence[int]],
        rounds: Sequence[Round],
        *,
        latency: Seconds,
        start: Seconds = 0.0,
        flow_limit: BytesPerSecond = np.inf,
        delays: Mapping[int, Seconds] | None = None,
        labour: Labour = NO_LABOUR,
    ) -> Traffic:
        """Return the rounds of one or several groups on a network.

        Args:
            router: of the network.
            groups: endpoints of each group, in the order of participants; all do the
                same rounds at the same time.
            rounds: of each group.
            latency: of a message, added to that of its route [s].
            start: before anything is sent, once [s].
            flow_limit: of one message's rate, for hosts that copy [B/s].
            delays: by endpoint, how much later it begins [s].
            labour: what sending makes for the processors of the hosts.

        Raises:
            GraphError: groups differ in size or are not in the network, or a
                reduction in the network finds no tree of switches.
        """
        late = delays or {}
        delay = [late.get(end, 0.0) for group in groups for end in (*group, -1)]
        return cls(
            Placing(router, groups, rounds, latency),
            router.bandwidth,
            start,
            flow_limit,
            np.array(delay, np.float64),
            labour,
        )

    @property
    def is_even(self) -> bool:
        """Whether the fluid form is exact when nothing else is on the network."""
        return self._even is not None

    @property
    def form(self) -> Form:
        """How `run` goes about it."""
        if self.is_even:
            return "fluid"
        most = MAX_MESSAGES if self._paced is None else MAX_PACED
        return "expanded" if self.rounds.num_messages <= most else "rounds"

    @property
    def is_exact(self) -> bool:
        """Whether `run`, alone, ends when message by message would."""
        if self.form != "rounds" or self._paced is not None:
            return True
        return len(self.rounds) == 1 and self.rounds[0].count == 1

    def isolated_time(self) -> Seconds:
        """Return the time alone on the network [s].

        T = start + the longest chain of messages, each α + its bytes at the max-min
        fair rate of the links it shares with all that is sent meanwhile

        Source: fair rates, Bertsekas and Gallager, Data Networks, section 6.5.2, from
            memory; the chain, `simulator.collectives.rounds.Round`.
        """
        return self._isolated

    def bytes_on_links(self) -> Floats:
        """Return the bytes that cross every link, from start to end [B]."""
        total = np.zeros(len(self.bandwidth))
        for each in self.rounds:
            total += each.link_bytes(len(total)) * each.count
        return total

    def run(self, network: FluidNetwork, *, expanded: bool = False) -> Any:
        """Send everything; return an event that triggers at the end, with the time.

        Args:
            network: with the links of the router.
            expanded: message by message in any case.
        """
        if self.rounds and (expanded or self.form == "expanded"):
            delay = self.delay + self.start
            rounds, limit = self.rounds[:], self.flow_limit
            return Expanded(network, rounds, delay, limit, self._work).done
        return _Sequence(network, self._phases, self._begin, self._work).done

    @cached_property
    def _work(self) -> SecondsPerByte:
        """Processor time of a byte on a link, that of messages spread over theirs."""
        size = float(self.bytes_on_links().sum()) if self.labour.is_any else 0.0
        return self.labour.of(self.rounds.num_messages, size) / size if size else 0.0

    @cached_property
    def _even(self) -> tuple[Phase, ...] | None:
        """One job for each round, if all are even."""
        if self.delay.any() or not self.rounds.is_chained:
            return None
        phases = []
        for each in self.rounds:
            phase = even_phase(each, self.bandwidth, self.flow_limit)
            if phase is None:
                break
            phases.append(phase)
        else:
            return merged(phases)
        if self._paced is None:
            return None
        times = transfer_times(self.rounds[0], self.bandwidth, self.flow_limit)
        return (self._paced,) if is_one(times) else None

    @cached_property
    def _paced(self) -> Phase | None:
        """One round as a job at the pace of its slowest message, if that is exact."""
        if len(self.rounds) != 1:
            return None
        return paced_phase(self.rounds[0], self.bandwidth, self.flow_limit)

    @cached_property
    def _phases(self) -> tuple[Phase, ...]:
        """One job for each round, even or not."""
        if self._even is not None:
            return self._even
        if self._paced is not None:
            return (self._paced,)
        return merged([self._timed(each) for each in self.rounds])

    @cached_property
    def _isolated(self) -> Seconds:
        if self.rounds and self.form == "expanded":
            return self._alone(self.run)
        return self._begin + sum(phase.time() for phase in self._phases)

    @property
    def _begin(self) -> Seconds:
        """When all participants are there [s]."""
        return self.start + float(self.delay.max(initial=0.0))

    def _timed(self, round_: PlacedRound) -> Phase:
        """Return a round as a job as long as its messages take alone."""
        once = replace(round_, count=1)
        time = self._alone(
            lambda network: Expanded(network, [once], self.delay * 0, self.flow_limit)
        )
        return timed_phase(round_, self.bandwidth, time)

    def _alone(self, run: Callable[[FluidNetwork], Any]) -> Seconds:
        clock = PrivateClock()
        run(FluidNetwork(clock, self.bandwidth))
        clock.run()
        return clock.now


class _Sequence:
    """Phases one after the other; `done` triggers at the end."""

    def __init__(
        self,
        network: FluidNetwork,
        phases: Sequence[Phase],
        start: Seconds,
        work: SecondsPerByte,
    ) -> None:
        self.network, self.work = network, work
        self.phases = iter(phases)
        self.done = network.clock.event()
        if start > 0:
            network.clock.timeout(start).callbacks.append(self._next)
        else:
            self._next()

    def _next(self, _: Any = None) -> None:
        phase = next(self.phases, None)
        if phase is None:
            self.done.succeed(self.network.clock.now)
        else:
            job = self.network.start(
                phase.link,
                phase.size * phase.share,
                weight=phase.weight,
                latency=phase.latency,
                limit=phase.limit,
                alone=phase.transfer,
                work=self.work,
            )
            job.callbacks.append(self._next)
