"""Kernels that fill all cores, over and over, and say how far they came when.

What others take from the cores is what these lack. That is how a message's share of a
core is seen whoever's name it is booked in: the sender's, the receiver's, or none, for
packets that the system moves while it interrupts somebody.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import multiprocessing

from calibration.emulation.entering import die_with
from calibration.quiet import quieten
from topologies.units import Count, Seconds

_PATIENCE: Seconds = 60.0  # for torch to be loaded
_SIDE = 192  # of a product: about a third of a millisecond, out of a core's own cache


class Fillers:
    """Processes that compute, one a core.

    Fields:
        cores: that they fill [1].
    """

    def __init__(self, ends: list[Connection[Any, Any]]) -> None:
        """Take the connections to them."""
        self._ends = ends
        self.cores = len(ends)

    def done(self, moments: Sequence[Seconds]) -> list[Count]:
        """Return the kernels that ended between moments of the monotonic clock [1].

        They are asked once about any time; what was before is forgotten.
        """
        for each in self._ends:
            each.send(tuple(moments))
        return [float(sum(counts)) for counts in zip(*self._answers(), strict=True)]

    def _answers(self) -> list[list[int]]:
        return [each.recv() for each in self._ends]


@contextmanager
def filled_cores() -> Iterator[Fillers]:
    """Fill all cores of this machine inside a block."""
    context = multiprocessing.get_context("spawn")
    pairs = [context.Pipe() for _ in os.sched_getaffinity(0)]
    processes = [
        context.Process(target=_fill, args=(os.getpid(), theirs), daemon=True)
        for _, theirs in pairs
    ]
    try:
        for each, (_, theirs) in zip(processes, pairs, strict=True):
            each.start()
            theirs.close()  # so that its end is heard
        for ours, _ in pairs:
            if not ours.poll(_PATIENCE):
                raise TimeoutError("the kernels that fill the cores do not begin")
            ours.recv()
        yield Fillers([ours for ours, _ in pairs])
    finally:
        for each in processes:
            if each.pid is not None:
                each.kill()
                each.join()


def _fill(parent: int, questions: Connection[Any, Any]) -> None:
    """Compute until killed, and answer how many kernels ended when."""
    die_with(parent)
    quieten()
    left, right = torch.rand(_SIDE, _SIDE), torch.rand(_SIDE, _SIDE)
    moments: list[Seconds] = []
    questions.send("ready")
    while True:
        torch.mm(left, right)
        moments.append(time.monotonic())
        if questions.poll():
            places = [bisect_left(moments, each) for each in questions.recv()]
            questions.send([after - before for before, after in pairwise(places)])
            moments.clear()
