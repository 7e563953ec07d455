"""The schedule of a plan."""

from __future__ import annotations

from models.model import Model
from simulator.lowering.kept import kept_bytes, kept_for_weights
from simulator.lowering.layer_shares import layer_share
from simulator.lowering.schedules.actions import Schedule
from simulator.lowering.schedules.automatic import Times
from simulator.lowering.schedules.pairs import Pairs
from simulator.lowering.schedules.table import DESIGNS, schedule
from simulator.lowering.staged import make_share
from simulator.plan import Plan
from simulator.plans.layer_choices import recompute_of
from topologies.units import Ratio


def rows_of(plan: Plan, times: Times | None = None) -> Schedule:
    """Return the plan's schedule, one row per pipeline rank.

    Args:
        plan: whose schedule it is.
        times: that an automatic schedule goes by; left out, equal ones.
    """
    mesh = plan.parallelism
    return schedule(
        mesh.schedule,
        mesh.pipeline,
        plan.num_microbatches,
        mesh.virtual_stages,
        times=times or Times(),
        limit=mesh.memory_limit,
        is_paired=mesh.passes_overlap,
    )


def pairs_of(plan: Plan, rows: Schedule) -> Pairs:
    """Return the passes of a plan's schedule that run as one."""
    mesh = plan.parallelism
    pairs = DESIGNS[mesh.schedule].pairs
    return pairs(rows) if pairs is not None and mesh.passes_overlap else {}


def weight_share(plan: Plan, model: Model) -> Ratio:
    """Return what of a block's activations stays from I to W."""
    block = next(layer for layer in model.layers if layer.role == "block")
    mesh = plan.parallelism
    share, recompute = make_share(plan), recompute_of(mesh, block)
    share = layer_share(mesh, block, share)
    kept = kept_bytes(block, share, recompute)
    return min(kept_for_weights(block, share) / kept, 1.0) if kept else 1.0
