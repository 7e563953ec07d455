"""One verb: `simulate(plan) -> Result`."""

from __future__ import annotations

import sys
from dataclasses import replace
from os import PathLike

from simulator.engines.graph import raise_deadlock
from simulator.engines.longest_path import longest_path
from simulator.job import Job, job_graph, prepare
from simulator.memory.peak import peak
from simulator.plan import Plan
from simulator.results.metrics import breakdown, ledger
from simulator.results.result import ENGINES, Engine, Result
from simulator.results.timeline import Timeline, timeline
from simulator.results.utilization import (
    hardware_flop_utilization,
    model_flop_utilization,
)
from simulator.version import VERSION
from topologies.profile import Profile
from topologies.profile_file import load_profile
from topologies.units import Seconds


def simulate(  # noqa: PLR0913 - a plan, and five options
    plan: Plan | str | PathLike[str],
    *,
    engine: Engine = "event",
    seed: int = 0,
    is_folded: bool = True,
    is_expanded: bool = False,
    profile: Profile | None = None,
) -> Result:
    """Return the prediction of one training step of `plan`.

    Args:
        plan: what to train, how to split it and on what; or the file that says so.
        engine: `event` for the discrete-event simulator, `analytical` for the
            longest path.
        seed: of every random number, so far those of hashed routes.
        is_folded: simulate one rank for all that do the same.
        is_expanded: let the event engine send every message of a collective on a
            graph by itself; slow, and a check of collectives as one job.
        profile: constants to price with; the device's own if left out.

    Raises:
        ValueError: there is no such engine.
        DeadlockError: the schedule cannot run.
    """
    if engine not in ENGINES:
        raise ValueError(f"unknown engine '{engine}'; there are {', '.join(ENGINES)}")
    if not isinstance(plan, Plan):
        plan = Plan.load(plan)
    job = prepare(plan, is_folded=is_folded, profile=profile, seed=seed)
    spans = run(job, engine, is_expanded=is_expanded)
    parts, fullest, when = peak(job)
    fits = parts.total <= job.cluster.device.memory
    step_time = spans.step_time
    samples = plan.batch.global_
    return Result(
        status="completed" if fits else "out_of_memory",
        engine=engine,
        step_time_s=step_time,
        samples_per_s=samples / step_time,
        tokens_per_s=samples * job.model.tokens_per_sample / step_time,
        mfu=model_flop_utilization(job, step_time),
        hfu=hardware_flop_utilization(job, step_time),
        world_size=plan.world_size,
        memory_peak_bytes=parts.total,
        memory=parts,
        memory_rank=fullest,
        memory_when=when,
        breakdown=breakdown(spans),
        ledger=ledger(job.workload, plan.parallelism.degrees),
        interval_s=interval(job, step_time),
        is_interval_measured=is_like_measured(job),
        provenance=provenance(plan, job, seed),
        job=job,
        timeline=spans,
    )


def run(job: Job, engine: Engine, *, is_expanded: bool = False) -> Timeline:
    """Return the spans of a job under an engine; see `simulate`."""
    graph = job_graph(job)
    if engine == "analytical":
        times = longest_path(graph)
    elif job.located:
        # Before messages share a network, it is sure that the step can end.
        times = longest_path(replace(graph, pace=None))
    else:
        from simulator.engines.event import simulate_events  # noqa: PLC0415 - SimPy

        times = simulate_events(graph)
    if min(times.end) < 0:
        raise_deadlock(job.workload, times.end)
    if engine == "event" and job.located:
        from simulator.located.contention import simulate_contended  # noqa: PLC0415 - same

        times = simulate_contended(job, job.located, graph, is_expanded=is_expanded)
    return timeline(job, times)


def interval(job: Job, step_time: Seconds) -> tuple[Seconds, Seconds]:
    """Return where the measured step time would lie in nine of ten cases [s].

    From errors on rows that the profile's fit did not see, if they are of such plans;
    else the wider of those and of what is assumed in general.
    """
    low, high = job.profile.error_low, job.profile.error_high
    if not is_like_measured(job):
        general = load_profile("generic")
        low, high = min(low, general.error_low), max(high, general.error_high)
    return (1 + low) * step_time, (1 + high) * step_time


def is_like_measured(job: Job) -> bool:
    """Return whether the profile's errors are those of such plans.

    Of the same family of networks, in 16-bit formats, with states, tokens and experts
    as every measured row had them, on links that the profile knows, and on a switch: no
    measured row shared its links.
    """
    mesh, precision = job.plan.parallelism, job.plan.training.precision
    if mesh.zero or mesh.context * mesh.expert > 1 or precision not in {"fp16", "bf16"}:
        return False
    cluster, known = job.cluster, job.profile.links
    is_inside = cluster.devices_per_node == 1 or cluster.fabric.name in known
    is_between = cluster.num_nodes == 1 or cluster.network.name in known
    is_known = is_inside and is_between and job.located is None
    return is_known and job.model.family in job.profile.families


def provenance(plan: Plan, job: Job, seed: int) -> dict[str, str | int]:
    """Return what is needed to make the same prediction again."""
    return {
        "rehearsal": VERSION,
        "python": sys.version.split()[0],
        "plan_sha256": plan.content_hash,
        "profile": job.profile.name,
        "seed": seed,
    }
