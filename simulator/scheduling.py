"""The schedule of a job: an automatic one goes by the job's own prices."""

from __future__ import annotations

from simulator.lowering.pipeline import boundary_bytes
from simulator.lowering.rows import rows_of, weight_share
from simulator.lowering.schedules.actions import Kind, Schedule
from simulator.lowering.schedules.automatic import Times
from simulator.lowering.staged import LoweredStage
from simulator.plan import Plan
from simulator.pricing.pricer import Pricer
from simulator.workload import Message
from topologies.units import Seconds

_PARTS: tuple[Kind, ...] = ("F", "I", "W")


def scheduled(plan: Plan, stages: tuple[LoweredStage, ...], pricer: Pricer) -> Schedule:
    """Return the plan's schedule, one row per pipeline rank.

    Where it is searched for, all ranks are taken to be as slow as the slowest, and all
    transfers as the first. A profile's passes are taken as they were profiled.
    """
    if plan.parallelism.schedule != "zb-auto":
        return rows_of(plan)
    share = weight_share(plan, plan.build_model())
    times = plan.stage_times
    if times is not None:
        passes = (times.forward, times.backward_input, times.backward_weight)
        return rows_of(plan, Times(*passes, times.transfer, share))
    forward, inputs, weights = (_slowest(stages, kind, pricer) for kind in _PARTS)
    transfer = _transfer(plan, stages, pricer)
    return rows_of(plan, Times(forward, inputs, weights, transfer, share))


def _slowest(stages: tuple[LoweredStage, ...], kind: Kind, pricer: Pricer) -> Seconds:
    """Return the longest device time of a kind of pass."""
    return max(float(pricer.body(low.bodies[kind]).busy) for low in stages)


def _transfer(plan: Plan, stages: tuple[LoweredStage, ...], pricer: Pricer) -> Seconds:
    """Return the time of a send between the first two stages."""
    if len(stages) == 1:
        return 0.0
    message = Message("send", "send", "pipeline", boundary_bytes(plan, stages[0]))
    return float(pricer.message_time(message))
