"""Interleaved repetitions, medians with their spread, and ratios between them.

What is compared is measured in turns (a b a b ...), so that a machine that slows down
slows both; each pair gives a ratio, and the median of those is reported.
"""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True, slots=True)
class Sample:
    """CPU and wall seconds of one repetition, and what it counted."""

    cpu: float
    wall: float
    count: float = 1.0


def timed(function: Callable[[], float]) -> Sample:
    """Run `function` once, with nothing left to collect; it returns what it did."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    count = function()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Sample(cpu, wall, count)


def process(command: Sequence[str], *, environment: Mapping[str, str]) -> Sample:
    """Run a whole process and wait for it; CPU is user and system time of it all."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = time.perf_counter()
    subprocess.run(
        command,
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    wall = time.perf_counter() - wall
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Sample(cpu, wall)


def interleaved(
    runs: Mapping[str, Callable[[], Sample]], repeats: int
) -> dict[str, list[Sample]]:
    """Take every run in turn, once unrecorded and then `repeats` times."""
    samples: dict[str, list[Sample]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            sample = run()
            if repeat:
                samples[name].append(sample)
    return samples


def spread(values: Sequence[float], format_: str = ".3g") -> str:
    """Write a median and its range."""
    low, middle, high = min(values), median(values), max(values)
    return f"{middle:{format_}}  ({low:{format_}} … {high:{format_}})"


def rates(samples: Sequence[Sample]) -> list[float]:
    """Count per CPU second of each sample."""
    return [sample.count / sample.cpu for sample in samples]


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Quotients of what was measured in the same turn."""
    return [a / b for a, b in zip(over, under, strict=True)]


def compiled(source: Path, target: Path) -> str:
    """Compile SimGrid's side; return why that is impossible, or nothing."""
    command = ["g++", "-O2", "-std=c++17", str(source), "-lsimgrid", "-o", str(target)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        return "there is no g++"
    if "simgrid/s4u.hpp: No such file" in done.stderr:
        return "there is no SimGrid (Debian: libsimgrid-dev)"
    return done.stderr if done.returncode else ""
