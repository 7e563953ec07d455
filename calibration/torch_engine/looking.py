"""A step timed, or taken apart: when a rank computed, when collectives were under way.

Limits: of sends and receives only the ranks' waiting shows, not when bytes travel, so
they are left out: waiting for them is neither computing nor a collective.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch.distributed as dist
from torch.profiler import ProfilerActivity, profile

from calibration.torch_engine.task import Span, Spans
from topologies.units import Seconds, parse_quantity

_BACKENDS = ("gloo:", "nccl:", "served:")  # the last as servers' workers say
_WAITING = ("send", "recv", "barrier")
_MICROSECOND = parse_quantity("1 us", "s")


def timed(step: Callable[[], None]) -> Seconds:
    """Do a step and return how long it took, from all ranks' start [s]."""
    dist.barrier()
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def looked_at(step: Callable[[], None]) -> Spans:
    """Do a step and return what it did when.

    Args:
        step: to be done.
    """
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        step()
    events = [each for each in profiler.events() if _stream(each)]
    if not events:
        return ()
    start = min(each.time_range.start for each in profiler.events())
    return tuple(
        Span(
            each.name.partition("::")[2] or each.name,
            _stream(each),
            _MICROSECOND * (each.time_range.start - start),
            _MICROSECOND * (each.time_range.end - start),
        )
        for each in sorted(events, key=lambda each: each.time_range.start)
    )


def _stream(event: Any) -> str:
    """Return where an event belongs; empty for one that is part of another."""
    name: str = event.name
    if name.startswith(_BACKENDS):
        is_waiting = any(word in name for word in _WAITING)
        return "" if is_waiting else "communication"
    parent = event.cpu_parent.name if event.cpu_parent else ""
    is_whole = name.startswith("aten::") and not parent.startswith("aten::")
    return "compute" if is_whole else ""
