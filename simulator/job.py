"""A job: a plan's workload placed on its cluster, with every body priced.

This is what an engine runs: one method wide, `run(job) -> Times`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, NamedTuple, Protocol

from models.model import Model
from simulator.balancing import balanced_by_time
from simulator.engines.graph import Graph, build_graph
from simulator.lowering.formats import wide_format
from simulator.lowering.lower import lower
from simulator.lowering.schedules.actions import Schedule
from simulator.lowering.staged import LoweredStage, lower_stages
from simulator.lowering.unfold import unfold
from simulator.plan import Plan
from simulator.pricing.pacing import paced
from simulator.pricing.price import Price
from simulator.pricing.pricer import Pricer
from simulator.pricing.servers import plan_servers
from simulator.scheduling import scheduled
from simulator.workload import Body, Workload
from topologies.hardware import Cluster
from topologies.profile import Profile
from topologies.profile_file import load_profile

if TYPE_CHECKING:
    from simulator.located.locate import Located, Place


class Arrangement(Protocol):
    """What memory depends on: a plan's stages and their order, and no prices."""

    @property
    def plan(self) -> Plan:
        """As written."""

    @property
    def profile(self) -> Profile:
        """The platform's constants."""

    @property
    def pricer(self) -> Pricer:
        """What prices its work."""

    @property
    def stages(self) -> tuple[LoweredStage, ...]:
        """Virtual stages, with what each holds."""

    @property
    def rows(self) -> Schedule:
        """The schedule."""


class Arranged(NamedTuple):
    """A plan as far as its stages and their order."""

    plan: Plan
    model: Model
    cluster: Cluster
    profile: Profile
    pricer: Pricer
    stages: tuple[LoweredStage, ...]
    rows: Schedule


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A priced workload and what it came from.

    Fields:
        plan: as written.
        model, cluster, profile: what the plan names.
        stages: virtual stages, with what each holds.
        rows: the schedule.
        workload: the ops of one step.
        prices: of every body in it.
        located: what its messages do to the network; None where nothing is shared.
    """

    plan: Plan
    model: Model
    cluster: Cluster
    profile: Profile
    pricer: Pricer
    stages: tuple[LoweredStage, ...]
    rows: Schedule
    workload: Workload
    prices: dict[Body, Price]
    located: Located | None = None


def prepare(
    plan: Plan,
    *,
    is_folded: bool = True,
    profile: Profile | None = None,
    seed: int = 0,
    place: Place | None = None,
) -> Job:
    """Return the job of a plan.

    Args:
        plan: what to train, how to split it and on what.
        is_folded: simulate one rank for all that do the same, if they share no cores.
        profile: constants to price with; the device's own if left out.
        seed: of hashed routes.
        place: on the network of another job; on its own if left out.

    Raises:
        Infeasible: failed links cut its network apart.
    """
    _, model, cluster, chosen, pricer, stages, rows = arrange(plan, profile)
    workload = lower(plan, stages, rows)
    if not is_folded or plan.cluster.shared_cores:
        workload = unfold(workload, plan.parallelism.degrees)
    located = None
    if place is not None or plan.cluster.has_graph:
        from simulator.located.locate import locate, own_place  # noqa: PLC0415 - NumPy

        here = place or own_place(plan.cluster, cluster, chosen, seed)
        located = locate(plan, cluster, chosen, workload, here)
        workload = located.workload
    prices = {body: pricer.body(body) for body in {op.body for op in workload.ops}}
    if located:
        prices |= {
            body: pricer.carried(body, traffic.isolated_time())
            for body, traffic in located.traffic.items()
        }
    return Job(
        plan,
        model,
        cluster,
        chosen,
        pricer,
        stages,
        rows,
        workload,
        prices,
        located,
    )


def arrange(plan: Plan, profile: Profile | None = None) -> Arranged:
    """Return a plan's stages and their order; for the arguments see `staged`."""
    found = staged(plan, profile)
    rows = scheduled(plan, found.stages, found.pricer)
    return found._replace(rows=rows)


def staged(plan: Plan, profile: Profile | None = None) -> Arranged:
    """Return a plan's stages in no order yet.

    Args:
        plan: what to train, how to split it and on what.
        profile: constants to price with; the device's own if left out.
    """
    model, cluster = plan.build_model(), plan.build_cluster()
    chosen = profile or plan_profile(plan, cluster)
    pricer = make_pricer(plan, cluster, chosen)
    stages = lower_stages(plan, model, balanced_by_time(plan, model, pricer))
    return Arranged(plan, model, cluster, chosen, pricer, stages, ())


def job_graph(job: Job) -> Graph:
    """Return the graph that an engine runs."""
    cores = job.plan.cluster.shared_cores or inf
    return build_graph(job.workload, job.prices, job.profile.overlap_slowdown, cores)


def plan_profile(plan: Plan, cluster: Cluster) -> Profile:
    """Return the profile that a plan names, or else its device's."""
    return load_profile(plan.cluster.profile or cluster.device.profile)


def make_pricer(plan: Plan, cluster: Cluster, profile: Profile) -> Pricer:
    """Return what prices the plan's work on a cluster."""
    convolution = plan.training.convolution
    offered = profile.convolutions if convolution == "auto" else (convolution,)
    pricer = Pricer(
        cluster=cluster,
        profile=replace(profile, convolutions=offered),
        peak=cluster.device.peak[wide_format(plan.training.precision)],
        narrow_peak=cluster.device.peak[plan.training.precision],
        degrees=plan.parallelism.degrees,
        algorithm=plan.synchronization.algorithm,
        kernels=profile.kernels.get(plan.training.precision),
        servers=plan_servers(plan, plan.build_model(), cluster, profile),
    )
    return paced(plan, pricer)
