"""One rank walks its program: its host issues, and a thread a stream carries out.

The recursion is that of `simulator.engines.graph`, on a real clock: a run of kernels
ends at max(ready + busy, host start + issued). The host's time is counted and not
slept, so that its microseconds are not lost in those of the scheduler. A message
begins when it is ready and issued, and ends when it has really arrived.

Every stream has a process group of its own, so connections of its own: messages of
two streams share a link, and do not wait for each other. In a stream there is one at a
time. The threads are ours; gloo's own, two a group, serve its own collectives, of
which there are none here.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed
from torch.distributed import ProcessGroup

from calibration.torch_engine.collectives import Peers, perform
from calibration.torch_engine.timed.clock import Arrival, Ending, sleep_until
from calibration.torch_engine.timed.program import Call, Kind, Part, Program, Receive
from simulator.collectives.table import TABLE
from simulator.workload import Stream
from topologies.units import Bytes, Seconds

_ELEMENT = 4  # bytes of a number, as summed


class Moments(NamedTuple):
    """When an op was ready on this rank, and when it ended, in the step [s]."""

    ready: Seconds
    end: Seconds


@dataclass(slots=True, kw_only=True, eq=False)
class Walker:
    """Walks one rank's program, step after step.

    Fields:
        program: of the rank.
        groups: of processes, by stream.
        patience: with one message [s].
        tensors: that messages carry, by op.
        wire_bytes: all that was sent in the last step [B].
        sizes: of the messages that this rank began in the last step, by pattern and
            axis; of a collective that is its first participant [B].
    """

    program: Program
    groups: Mapping[Stream, ProcessGroup]
    patience: Seconds
    tensors: dict[int, Tensor] = field(default_factory=dict)
    wire_bytes: Bytes = 0.0
    sizes: dict[Kind, list[Bytes]] = field(default_factory=dict)

    def prepare(self) -> None:
        """Make the tensors of all messages, full of this rank's number plus one."""
        for part in self.program.parts:
            if part.call is not None:
                self.tensors[part.op] = self._filled(part.call)
        for each in self.program.receives:
            self.tensors[each.op] = torch.zeros(_length(each.size))

    def await_messages(self) -> dict[int, Arrival]:
        """Begin to receive what others' ops send here, before the step begins."""
        return {
            each.op: Arrival(partial(self._take, each, self._receiving(each)))
            for each in self.program.receives
        }

    def step(
        self, arrivals: Mapping[int, Arrival], begin: Seconds
    ) -> dict[int, Moments]:
        """Walk the program once and return when each op was ready and ended.

        Args:
            arrivals: of `await_messages`.
            begin: moment of the monotonic clock at which the step begins.

        Raises:
            RuntimeError: a peer is gone, or did not answer in time.
        """
        walk = _Step(self, arrivals, begin)
        walk.run()
        self.wire_bytes, self.sizes = walk.wire_bytes, dict(walk.sizes)
        return walk.moments

    def faults(self) -> list[str]:
        """Return what is wrong with the tensors after the first step."""
        return [
            f"{part.name}: a wrong sum arrived"
            for part in self.program.parts
            if part.call is not None
            and part.call.arrangement.pattern == "all-reduce"
            and not bool((self.tensors[part.op] == _total(part.call)).all())
        ] + [
            f"op {each.op}: something else arrived"
            for each in self.program.receives
            if not bool((self.tensors[each.op] == each.sender + 1).all())
        ]

    def _filled(self, call: Call) -> Tensor:
        size, pattern = call.arrangement.size, call.arrangement.pattern
        if pattern == "all-gather":
            size /= len(call.members)
        return torch.full((_length(size),), float(self.program.rank + 1))

    def _receiving(self, each: Receive) -> Any:
        peers = self.peers(each.stream, each.op, (each.sender, self.program.rank), 1)
        return peers, peers.receive(0, self.tensors[each.op])

    def _take(self, _each: Receive, receiving: tuple[Peers, Any]) -> None:
        peers, work = receiving
        peers.wait([work])

    def peers(
        self, stream: Stream, tag: int, members: Sequence[int], place: int
    ) -> Peers:
        """Return the other participants of a message of a stream."""
        return Peers(
            members=members,
            place=place,
            group=self.groups[stream],
            tag=tag,
            patience=self.patience,
        )


class _Step:
    """One step of a walker: its queues, its endings, and what they saw."""

    def __init__(
        self, walker: Walker, arrivals: Mapping[int, Arrival], begin: Seconds
    ) -> None:
        self.walker, self.begin = walker, begin
        parts = walker.program.parts
        self.endings: dict[int, Ending | Arrival] = {
            **arrivals,
            **{part.op: Ending() for part in parts},
        }
        self.moments: dict[int, Moments] = {}
        self.wire_bytes = 0.0
        self.sizes: dict[Kind, list[Bytes]] = defaultdict(list)
        self.queues: dict[Stream, SimpleQueue[tuple[Part, Seconds] | None]] = {
            stream: SimpleQueue() for stream in walker.program.streams
        }
        self.errors: list[BaseException] = []

    def run(self) -> None:
        """Issue all ops and wait for their ends."""
        threads = [
            Thread(target=self._serve, args=(queue,), daemon=True)
            for queue in self.queues.values()
        ]
        sleep_until(self.begin)
        for thread in threads:
            thread.start()
        try:
            self._issue()
        finally:
            for queue in self.queues.values():
                queue.put(None)
            for thread in threads:
                thread.join()
        if self.errors:
            raise self.errors[0]

    def _issue(self) -> None:
        """Hand every op to its stream, at the time at which the host issues it."""
        last: dict[Stream, int] = {}
        free = self.begin
        for part in self.walker.program.parts:
            start = free
            if part.host_waits:
                before = [last[part.stream]] if part.stream in last else []
                for other in (*part.after, *before):
                    self.endings[other].wait()
                start = max(free, time.monotonic())
            last[part.stream] = part.op
            free = start + part.host
            self.queues[part.stream].put((part, start))

    def _serve(self, queue: SimpleQueue[tuple[Part, Seconds] | None]) -> None:
        """Carry out the ops of one stream, one after the other."""
        while (given := queue.get()) is not None:
            part, start = given
            ending = self.endings[part.op]
            assert isinstance(ending, Ending), "arrivals are others' ops"
            try:
                self._carry_out(part, start)
                ending.set()
            except BaseException as error:  # noqa: BLE001 - raised by whoever waits
                self.errors.append(error)
                ending.set(error)

    def _carry_out(self, part: Part, start: Seconds) -> None:
        for other in part.after:
            self.endings[other].wait()
        ready = time.monotonic()
        sleep_until(max(ready + part.busy, start + part.issued))
        if part.call is not None:
            self._send(part, part.call)
        since = self.begin
        self.moments[part.op] = Moments(ready - since, time.monotonic() - since)

    def _send(self, part: Part, call: Call) -> None:
        walker = self.walker
        peers = walker.peers(part.stream, part.op, call.members, call.place)
        tensor = walker.tensors[part.op]
        how = call.arrangement
        if how.pattern == "send":
            peers.wait([peers.send(1, tensor)])
        else:
            row = TABLE[how.pattern, how.algorithm]
            perform(row, tensor, peers, len(call.members), how.options)
        self.wire_bytes += peers.wire_bytes
        if call.place == 0:
            size = float(tensor.numel() * tensor.element_size())
            whole = len(call.members) if how.pattern == "all-gather" else 1
            self.sizes[call.kind].append(whole * size)


def stream_groups(streams: Sequence[Stream]) -> dict[Stream, ProcessGroup]:
    """Return a process group of all ranks for each stream; all ranks call this."""
    made = {stream: distributed.new_group() for stream in streams}
    return {stream: group for stream, group in made.items() if group is not None}


def _length(size: Bytes) -> int:
    """Return how many numbers a message carries, at least one."""
    return max(1, round(size / _ELEMENT))


def _total(call: Call) -> float:
    return float(sum(rank + 1 for rank in call.members))
