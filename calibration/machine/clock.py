"""How long something takes: on this thread's own clock, or on a GPU's.

On a CPU the clock counts the time that this thread computes, so that other programs on
the machine do not count, though they do disturb the caches. On a GPU events are
recorded behind a kernel that only waits, so that the host has issued all before the
first begins; and the host is timed by itself.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from topologies.units import Ratio, Seconds

Function = Callable[[], object]
_CYCLES = 2_000_000_000  # that a GPU waits for a second, about


class Timing(NamedTuple):
    """What was measured.

    Fields:
        time: median, on the device [s].
        host: median, of issuing it; all of it where the host computes [s].
        spread: half the range of the middle half, over the median [1].
    """

    time: Seconds
    host: Seconds
    spread: Ratio


class Clock(NamedTuple):
    """How patiently something is timed.

    Fields:
        device: `cpu` or `cuda`.
        least: time of one repetition at least, by calling several times [s].
        repetitions: of which the median is taken [1].
    """

    device: str = "cpu"
    least: Seconds = 2e-3
    repetitions: int = 5

    def time(self, function: Function) -> Timing:
        """Return how long a call takes, once it is warm."""
        function()
        function()
        once = self._once(function, 1)[0]
        calls = min(1000, max(1, round(self.least / max(once, 1e-9))))
        if self.device == "cuda":
            calls = min(calls, 100)  # the driver holds about a thousand launches
        found = [self._once(function, calls) for _ in range(self.repetitions)]
        times, hosts = zip(*found, strict=True)
        median = statistics.median(times)
        return Timing(median, statistics.median(hosts), _spread(times))

    def _once(self, function: Function, calls: int) -> tuple[Seconds, Seconds]:
        """Return device and host time of one of several calls in a row."""
        if self.device == "cuda":
            return _on_gpu(function, calls)
        begin = time.thread_time()
        for _ in range(calls):
            function()
        each = (time.thread_time() - begin) / calls
        return each, each


def _on_gpu(function: Function, calls: int) -> tuple[Seconds, Seconds]:
    """Return the time of a call on the GPU, and that of issuing it."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    waiting = 200e-6 * calls  # longer than the host needs for kernels of one call
    torch.cuda._sleep(int(waiting * _CYCLES))  # noqa: SLF001 - the only such kernel
    start.record()
    begin = time.perf_counter()
    for _ in range(calls):
        function()
    host = time.perf_counter() - begin
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1000 / calls, host / calls


def _spread(times: tuple[Seconds, ...]) -> Ratio:
    ordered = sorted(times)
    quarter = len(ordered) // 4
    inner = ordered[quarter : len(ordered) - quarter]
    return (inner[-1] - inner[0]) / 2 / statistics.median(ordered)
