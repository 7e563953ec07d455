"""What would make a plan fit: the nearest changes, tried in order of their cost.

=====================================  =============================================
change                                 what it costs
=====================================  =============================================
ZeRO-1, ZeRO-2, resharding, all shards little: as many bytes as an all-reduce, or a
                                       gathering more
smaller micro-batches                  efficiency of kernels
selective, then full recomputation     FLOP
ZeRO-3                                 gathering parameters for every pass
wider splits                           communication, or a bubble
=====================================  =============================================

Only memory is computed, and no order of passes where states alone do not fit, so that
asking is cheap; each change is tried as a plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from models.mixture import ExpertLinear
from simulator.errors import PlanError
from simulator.job import staged
from simulator.memory.peak import least, peak
from simulator.plan import Plan
from simulator.plans.sharding_checks import left_out
from simulator.scheduling import scheduled
from topologies.units import Bytes

_SMALLEST: dict[str, Any] = {"parallelism.recompute": "full", "batch.micro": 1}


def remedy(plan: Plan) -> tuple[dict[str, Any], Bytes] | None:
    """Return the first change under which `plan` fits, and the memory it then needs.

    None if nothing tried fits.
    """
    for change in _changes(plan):
        zero = change.get("parallelism.zero", plan.parallelism.zero)
        left = {"parallelism.data": None, **left_out(plan.parallelism, zero)}
        try:
            changed = plan.replace({**left, **change})
        except PlanError:
            continue
        found = staged(changed)
        capacity = found.cluster.device.memory
        if least(found) > capacity:
            continue
        rows = scheduled(changed, found.stages, found.pricer)
        need = peak(found._replace(rows=rows), capacity).parts.total
        if need <= capacity:
            return change, need
    return None


def _changes(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield changes, the least first: one key, then recomputation with each split."""
    mesh = plan.parallelism
    divided = range(mesh.zero + 1, 4) if mesh.replicas > 1 else range(0)
    if not mesh.reshard:
        yield {"parallelism.reshard": True}
    if mesh.zero and mesh.shard != mesh.replicas:
        yield {"parallelism.shard": mesh.replicas}
    yield from ({"parallelism.zero": stage} for stage in divided if stage < 3)
    micro = plan.batch.micro
    while micro > 1:
        micro //= 2
        yield {"batch.micro": micro}
    for recompute in ("selective", "full"):
        yield {"parallelism.recompute": recompute}
        yield {"parallelism.recompute": recompute, "batch.micro": 1}
    for stage in divided:
        whole = {"parallelism.zero": stage}
        if stage == 3:
            yield whole
        yield {**whole, **_SMALLEST}
    most = {"parallelism.zero": 3} if 3 in divided else {}
    for split in _wider(plan):
        yield split
        yield {**split, **_SMALLEST}
        if most:
            yield {**split, **_SMALLEST, **most}


def _wider(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield splits over more devices, the least first."""
    mesh = plan.parallelism
    axes = {"tensor": mesh.tensor, "pipeline": mesh.pipeline, "context": mesh.context}
    layers = plan.build_model().layers
    if any(isinstance(op, ExpertLinear) for layer in layers for op in layer.operators):
        axes["expert"] = mesh.expert
    for factor in (2, 4, 8):
        for axis, degree in axes.items():
            yield {f"parallelism.{axis}": degree * factor}
