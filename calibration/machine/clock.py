"""How long something takes: on this thread's own clock, or on a GPU's.

On a CPU the clock counts the time that this thread computes, so that other programs on
the machine do not count, though they do disturb the caches. Every call is timed by
itself, after other data have gone through the thread's own caches: so it finds them in
a training step, where hundreds of other kernels came before.

On a GPU events are recorded behind a kernel that only waits, so that the host has
issued all before the first begins; and the host is timed by itself.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from topologies.units import Ratio, Seconds, parse_quantity

Function = Callable[[], object]
EVICTED = int(parse_quantity("4 MiB", "B"))
"""Bytes that go through the caches before a call: more than a core has of its own."""

_CYCLES = 2_000_000_000  # that a GPU waits for a second, about
_CALLS = 50  # on a GPU in a row; the driver holds about a thousand launches
_FEWEST = 3


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
        repetitions: of which the median is taken, if there is time [1].
        most: after which no further repetition begins, but three are made [s].
    """

    device: str = "cpu"
    repetitions: int = 11
    most: Seconds = 0.03

    def time(self, function: Function) -> Timing:
        """Return how long a call takes, once it is warm."""
        function()
        once = _on_gpu if self.device == "cuda" else _on_thread
        found: list[tuple[Seconds, Seconds]] = []
        begin = time.monotonic()
        while len(found) < self.repetitions:
            if len(found) >= _FEWEST and time.monotonic() - begin > self.most:
                break
            found.append(once(function))
        times, hosts = zip(*found, strict=True)
        return Timing(statistics.median(times), statistics.median(hosts), spread(times))


def spread(times: tuple[Seconds, ...]) -> Ratio:
    """Return half the range of the middle half, over the median [1]."""
    ordered = sorted(times)
    quarter = len(ordered) // 4
    inner = ordered[quarter : len(ordered) - quarter]
    return (inner[-1] - inner[0]) / 2 / statistics.median(ordered)


def _on_thread(function: Function) -> tuple[Seconds, Seconds]:
    """Return the time of a call twice: the host is the device."""
    _others().add_(1)
    begin = time.thread_time()
    function()
    took = max(time.thread_time() - begin - _own_time(), 1e-8)
    return took, took


@cache
def _others() -> Tensor:
    """Return what goes through the caches before a call."""
    return torch.zeros(EVICTED // 4)


@cache
def _own_time() -> Seconds:
    """Return what reading the clock takes."""
    found = []
    for _ in range(100):
        begin = time.thread_time()
        found.append(time.thread_time() - begin)
    return statistics.median(found)


def _on_gpu(function: Function) -> tuple[Seconds, Seconds]:
    """Return the time of a call on the GPU, and that of issuing it."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    waiting = 200e-6 * _CALLS  # longer than the host needs for kernels of one call
    torch.cuda._sleep(int(waiting * _CYCLES))  # noqa: SLF001 - the only such kernel
    start.record()
    begin = time.perf_counter()
    for _ in range(_CALLS):
        function()
    host = time.perf_counter() - begin
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1000 / _CALLS, host / _CALLS
