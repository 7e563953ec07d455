"""What would make a plan fit: the nearest changes, tried in order of their cost.

Only memory is computed, so that asking is cheap.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulator.errors import PlanError
from simulator.job import prepare
from simulator.memory import memory
from simulator.plan import Plan
from topologies.units import Bytes


def remedy(plan: Plan) -> tuple[dict[str, Any], Bytes] | None:
    """Return the first change under which `plan` fits, and the memory it then needs.

    Smaller micro-batches cost least, recomputation some FLOP, a wider split
    communication. None if nothing tried fits.
    """
    for change in _changes(plan):
        try:
            job = prepare(plan.replace({"parallelism.data": None, **change}))
        except PlanError:
            continue
        need = memory(job)[0].total
        if need <= job.cluster.device.memory:
            return change, need
    return None


def _changes(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield changes, the least first: one key, then recomputation with each split."""
    mesh = plan.parallelism
    micro = plan.batch.micro
    while micro > 1:
        micro //= 2
        yield {"batch.micro": micro}
    for recompute in ("selective", "full"):
        yield {"parallelism.recompute": recompute}
        yield {"parallelism.recompute": recompute, "batch.micro": 1}
    for factor in (2, 4, 8, 16):
        wider: tuple[dict[str, Any], ...] = (
            {"parallelism.tensor": mesh.tensor * factor},
            {"parallelism.pipeline": mesh.pipeline * factor},
        )
        for split in wider:
            yield split
            yield {**split, "parallelism.recompute": "full", "batch.micro": 1}
