"""Others at work on the same machine while one is measured.

Cores share caches, memory and the heat that they may give off, so that a kernel takes
longer while its neighbours compute too, even by the clock of its own thread. Ranks that
run on all cores at once are predicted from kernels that were measured in such company.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Semaphore

from torch import multiprocessing

from calibration.emulation.entering import die_with
from calibration.machine.clock import Clock
from calibration.machine.shapes import GRIDS
from calibration.machine.sweep import Sweep
from calibration.quiet import quieten
from topologies.units import Count, Seconds

_PATIENCE: Seconds = 60.0  # for torch to be loaded


@contextmanager
def in_company(others: Count, grid: str) -> Iterator[None]:
    """Have other processes measure the same, over and over, inside a block.

    Args:
        others: processes beside this one [1].
        grid: which sizes they compute, a name of `shapes.GRIDS`.
    """
    context = multiprocessing.get_context("spawn")
    begun = context.Semaphore(0)
    processes = [
        context.Process(target=_work, args=(os.getpid(), grid, begun), daemon=True)
        for _ in range(int(others))
    ]
    try:
        for process in processes:
            process.start()
        for _ in processes:
            begun.acquire(timeout=_PATIENCE)
        yield
    finally:
        for process in processes:
            if process.pid is not None:
                process.kill()
                process.join()


def _work(parent: int, grid: str, begun: Semaphore) -> None:
    """Compute until killed, or until whoever is measured is gone."""
    die_with(parent)
    quieten()
    begun.release()
    while True:
        Sweep(clock=Clock("cpu"), say=_hear).run(GRIDS[grid])


def _hear(_: str) -> None:
    """Say nothing."""
