"""Links as two processes of this machine find them: gloo over loopback, or NCCL.

Every collective is timed by itself, as libraries do not run textbook algorithms. The
constants of the link are fitted to the all-reduce and to messages from one to the
other; what further collectives give is kept row by row.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import multiprocessing

from calibration.fitting.links import LinkProblem, fit_links
from calibration.machine.sweep import Say
from simulator.one_collective.plan import CollectivePlan
from topologies.units import Seconds, format_quantity, parse_quantity

SIZES = tuple(
    int(parse_quantity(each, "B")) for each in ("1 KiB", "64 KiB", "1 MiB", "16 MiB")
)
PATTERNS = ("send", "all-reduce", "all-gather", "reduce-scatter")
_REPETITIONS = 9
_LIMIT: Seconds = 120.0
_DIGITS = 4
_BOUNDS = {
    "efficiency": ["0.001", "1"],
    "start": ["1 us", "5 ms"],
    "hop": ["1 us", "5 ms"],
}


class Row(NamedTuple):
    """One collective of two ranks.

    Fields:
        backend: of torch.distributed.
        pattern: what was done.
        size: of the message, in NCCL's convention [B].
        time: median, of the slower rank [s].
    """

    backend: str
    pattern: str
    size: int
    time: Seconds


class Links(NamedTuple):
    """What was found.

    Fields:
        fits: constants by link, as a profile file has them.
        rows: measurements, as a profile file has them.
    """

    fits: Mapping[str, Mapping[str, str]]
    rows: Sequence[Mapping[str, Any]]


def measured_links(device: str, say: Say) -> Links:
    """Return the constants of loopback from an exchange of two processes."""
    rows = exchanged(device)
    say(f"links: {len(rows)} exchanges of two processes")
    fit = {"loopback": fitted(rows)}
    shown = [
        {
            "backend": row.backend,
            "pattern": row.pattern,
            "ranks": 2,
            "size": f"{row.size} B",
            "time": format_quantity(row.time, "s", _DIGITS),
        }
        for row in rows
    ]
    return Links(fit, shown)


def exchanged(device: str, sizes: Sequence[int] = SIZES) -> list[Row]:
    """Return the times of every pattern and size, between two new processes."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    ranks = [
        context.Process(
            target=_rank,
            args=(rank, store.port, device, tuple(sizes), answers),
            daemon=True,
        )
        for rank in range(2)
    ]
    for process in ranks:
        process.start()
    try:
        first, second = (answers.get(timeout=_LIMIT) for _ in ranks)
    finally:
        for process in ranks:
            process.join(5)
            if process.is_alive():
                process.kill()
    slower = zip(first, second, strict=True)
    return [Row(one[0], one[1], one[2], max(one[3], other[3])) for one, other in slower]


def _rank(
    rank: int, port: int, device: str, sizes: Sequence[int], answers: Any
) -> None:
    """Time all exchanges as one of the two, and answer."""
    torch.set_num_threads(1)
    store = dist.TCPStore("127.0.0.1", port, is_master=False)
    # Two ranks on one card cannot use NCCL, so that gloo carries CUDA tensors too.
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    answers.put(
        [
            ("gloo", pattern, size, _timed(_call(pattern, size, rank, device)))
            for pattern in PATTERNS
            for size in sizes
        ]
    )
    dist.barrier()
    dist.destroy_process_group()


def _timed(call: Callable[[], object]) -> Seconds:
    """Return the median time of a call that both ranks begin together [s]."""
    times = []
    for number in range(_REPETITIONS + 2):
        dist.barrier()
        begin = time.perf_counter()
        call()
        if number > 1:
            times.append(time.perf_counter() - begin)
    return statistics.median(times)


def _gather(whole: torch.Tensor, half: torch.Tensor) -> None:
    """Gather by torch's name for it, which changes."""
    getattr(dist, "all_gather_single", dist.all_gather_into_tensor)(whole, half)


def _scatter(half: torch.Tensor, whole: torch.Tensor) -> None:
    getattr(dist, "reduce_scatter_single", dist.reduce_scatter_tensor)(half, whole)


def _call(pattern: str, size: int, rank: int, device: str) -> Callable[[], object]:
    """Return one exchange as a call."""
    whole = torch.zeros(size // 4, device=device)
    half = torch.zeros(size // 8, device=device)
    match pattern:
        case "all-reduce":
            return lambda: dist.all_reduce(whole)
        case "all-gather":
            return lambda: _gather(whole, half)
        case "reduce-scatter":
            return lambda: _scatter(half, whole)
    if rank:
        return lambda: dist.recv(whole, 0)
    return lambda: dist.send(whole, 1)


def fitted(rows: Sequence[Row]) -> dict[str, str]:
    """Return a link's constants: collectives by the all-reduce, transfers by sends."""
    sums = [row for row in rows if row.pattern == "all-reduce"]
    smallest = min((row for row in rows if row.pattern == "send"), key=lambda r: r.size)
    transfer = format_quantity(smallest.time, "s", _DIGITS)
    first = {
        "efficiency": "0.3",
        "start": "50 us",
        "hop": "50 us",
        "transfer": transfer,
    }
    table = {
        "base": "generic",
        "basis": "an exchange of two processes",
        "links": {"loopback": first},
        "bounds": {f"links.loopback.{name}": given for name, given in _BOUNDS.items()},
    }
    plans = tuple(_plan(row.size) for row in sums)
    problem = LinkProblem("loopback", table, plans, np.array([r.time for r in sums]))
    filled = problem.filled(fit_links(problem), _DIGITS)
    own: dict[str, str] = filled["links"]["loopback"]
    return own


def _plan(size: int) -> CollectivePlan:
    return CollectivePlan.from_mapping(
        {
            "collective": {"pattern": "all-reduce", "size": f"{size} B"},
            "cluster": {
                "device": "v100-sxm2-16gb",  # of which nothing enters
                "devices_per_node": 2,
                "fabric": "loopback",
            },
        }
    )
