"""How long something takes: on this thread's own clock, or on a GPU's.

On a CPU the clock counts the time that this thread computes, so that other programs on
the machine do not count, though they do disturb the caches. Calls are timed one by one
and in turn, each after all others, and what they put out is kept until the last has
run, as in a training step. One that runs again and again finds its weights, its code
and the very place of its output in the caches, and takes little more than half as long.

On a GPU events are recorded behind a kernel that only waits, so that the host has
issued all before the first begins; and the host is timed by itself.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import torch

from topologies.units import Ratio, Seconds

Function = Callable[[], object]
_CYCLES = 2_000_000_000  # that a GPU waits for a second, about
_MOST_CALLS = 50  # on a GPU in a row; the driver holds about a thousand launches
_LONG: Seconds = 5e-3  # of calls in a row
_ISSUING: Seconds = 200e-6  # of a call at most: the GPU waits until all are issued
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

    def time(self, functions: Sequence[Function]) -> list[Timing]:
        """Return how long each call takes, once it is warm."""
        for function in functions:
            function()
        once = _on_gpu if self.device == "cuda" else _on_thread
        rounds: list[list[tuple[Seconds, Seconds]]] = []
        begin, most = time.monotonic(), self.most * len(functions)
        while len(rounds) < self.repetitions:
            if len(rounds) >= _FEWEST and time.monotonic() - begin > most:
                break
            kept: list[object] = []
            rounds.append([once(function, kept) for function in functions])
        return [_timing(found) for found in zip(*rounds, strict=True)]


def _timing(found: Sequence[tuple[Seconds, Seconds]]) -> Timing:
    times, hosts = zip(*found, strict=True)
    return Timing(statistics.median(times), statistics.median(hosts), spread(times))


def spread(times: Sequence[Seconds]) -> Ratio:
    """Return half the range of the middle half, over the median [1]."""
    ordered = sorted(times)
    quarter = len(ordered) // 4
    inner = ordered[quarter : len(ordered) - quarter]
    return (inner[-1] - inner[0]) / 2 / statistics.median(ordered)


def _on_thread(function: Function, kept: list[object]) -> tuple[Seconds, Seconds]:
    """Return the time of a call twice: the host is the device."""
    begin = time.thread_time()
    kept.append(function())
    took = max(time.thread_time() - begin - _own_time(), 1e-8)
    return took, took


@cache
def _own_time() -> Seconds:
    """Return what reading the clock takes."""
    found = []
    for _ in range(100):
        begin = time.thread_time()
        found.append(time.thread_time() - begin)
    return statistics.median(found)


def _on_gpu(function: Function, _: list[object]) -> tuple[Seconds, Seconds]:
    """Return the time of a call on the GPU, and that of issuing it."""
    once = _in_a_row(function, 1)[0]
    return _in_a_row(function, min(_MOST_CALLS, max(1, round(_LONG / once))))


def _in_a_row(function: Function, calls: int) -> tuple[Seconds, Seconds]:
    """Return the times of one of several calls that the GPU finds already issued."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    torch.cuda._sleep(int(_ISSUING * calls * _CYCLES))  # noqa: SLF001 - the only such kernel
    start.record()
    begin = time.perf_counter()
    for _ in range(calls):
        function()
    host = time.perf_counter() - begin
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1000 / calls, host / calls
