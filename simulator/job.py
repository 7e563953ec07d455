"""A job: a plan's workload placed on its cluster, with every body priced.

This is what an engine runs: one method wide, `run(job) -> Times`.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.model import Model
from simulator.lowering.lower import lower
from simulator.lowering.staged import LoweredStage, lower_stages
from simulator.lowering.unfold import unfold
from simulator.placement import Degrees
from simulator.plan import Plan
from simulator.price import Price
from simulator.pricing import Pricer
from simulator.workload import Body, Workload
from topologies.hardware import Cluster
from topologies.profile import Profile, load_profile


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A priced workload and what it came from.

    Fields:
        plan: as written.
        model, cluster, profile: what the plan names.
        stages: virtual stages, with what each holds.
        workload: the ops of one step.
        prices: of every body in it.
    """

    plan: Plan
    model: Model
    cluster: Cluster
    profile: Profile
    pricer: Pricer
    stages: tuple[LoweredStage, ...]
    workload: Workload
    prices: dict[Body, Price]


def prepare(
    plan: Plan, *, is_folded: bool = True, profile: Profile | None = None
) -> Job:
    """Return the job of a plan.

    Args:
        plan: what to train, how to split it and on what.
        is_folded: simulate one rank for all that do the same.
        profile: constants to price with; the device's own if left out.
    """
    model, cluster = plan.build_model(), plan.build_cluster()
    chosen = profile or load_profile(cluster.device.profile)
    stages = lower_stages(plan, model)
    workload = lower(plan, stages)
    if not is_folded:
        mesh = plan.parallelism
        workload = unfold(workload, tensor=mesh.tensor, data=mesh.data)
    pricer = make_pricer(plan, cluster, chosen)
    bodies = {op.body for op in workload.ops}
    prices = {body: pricer.body(body) for body in bodies}
    return Job(plan, model, cluster, chosen, pricer, stages, workload, prices)


def make_pricer(plan: Plan, cluster: Cluster, profile: Profile) -> Pricer:
    """Return what prices the plan's work on a cluster."""
    mesh = plan.parallelism
    return Pricer(
        cluster=cluster,
        profile=profile,
        peak=cluster.device.peak[plan.training.precision],
        degrees=Degrees(mesh.tensor, mesh.data, mesh.pipeline),
    )
