"""Gradients between replicas, sent as the plan says: its algorithm, in its order.

Torch sums gradients its own way. On a graph a plan names an algorithm and an order of
ranks, and there the sums are the very sends that are priced: a row of the table of
collectives, carried out on a thread of this rank while its backward passes go on.

Limits: one sum at a time. Those of several rings at once are left to torch, and so are
sizes that the plan has not, such as those of DDP's first steps, before it has settled
its buckets.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor
from torch.futures import Future

from calibration.torch_engine.collectives import Peers, perform
from calibration.torch_engine.task import Span
from simulator.collectives.table import TABLE
from simulator.located.carrier import Arrangement
from topologies.units import Seconds

if TYPE_CHECKING:
    from calibration.torch_engine.recording import Recorder


class Carriage:
    """Sums gradients of this rank's replicas over point-to-point messages.

    Fields:
        recorder: told of every sum, in a step that is recorded.
        sums: when each began and ended, by `time.perf_counter` [s].
    """

    def __init__(
        self, ways: Iterable[Arrangement], rank: int, patience: Seconds
    ) -> None:
        """Make the connections of all sums; all ranks do so together.

        Args:
            ways: how the sums of each size are carried, of all ranks.
            rank: this one's number.
            patience: with one message [s].
        """
        self._ways = {
            round(way.size): (way, group)
            for way in ways
            for group in way.groups
            if rank in group
        }
        self._rank, self._patience = rank, patience
        self._group = dist.new_group()  # whose messages meet no others
        self._thread = ThreadPoolExecutor(max_workers=1)
        self.recorder: Recorder | None = None
        self.sums: list[tuple[Seconds, Seconds]] = []

    def knows(self, tensor: Tensor) -> bool:
        """Return whether the plan sums tensors of this size on this rank."""
        return tensor.nbytes in self._ways

    def begin(self, tensor: Tensor) -> Future[Tensor]:
        """Begin to sum a tensor of one dimension, in place; return what to wait for."""
        future: Future[Tensor] = Future()
        self._thread.submit(self._carry, tensor, future)
        return future

    def spans(self, since: Seconds) -> tuple[Span, ...]:
        """Return the sums that began after a moment, counted from there."""
        return tuple(
            Span("all-reduce", "communication", begin - since, end - since)
            for begin, end in self.sums
            if begin >= since
        )

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def _carry(self, tensor: Tensor, future: Future[Tensor]) -> None:
        try:
            begin = time.perf_counter()
            self._sum(tensor)
            self.sums.append((begin, time.perf_counter()))
        except Exception as error:  # noqa: BLE001 - raised by whoever waits
            future.set_exception(error)
        else:
            future.set_result(tensor)

    def _sum(self, tensor: Tensor) -> None:
        way, members = self._ways[tensor.nbytes]
        peers = Peers(
            members=members,
            place=members.index(self._rank),
            group=self._group,
            patience=self._patience,
        )
        row = TABLE["all-reduce", way.algorithm]
        with torch.no_grad():
            perform(row, tensor, peers, len(members), way.options)
        if self.recorder is not None:
            self.recorder.count("all-reduce", "data", len(members), tensor.nbytes)
