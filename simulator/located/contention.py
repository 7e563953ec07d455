"""A job, or a row of collectives, on a network that background traffic shares.

Loaded only for plans that name a graph and are run with the event engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from simulator.engines.graph import Graph, Times
from simulator.engines.shared import Sendable, Source, Tenant, simulate_shared
from simulator.errors import Infeasible
from simulator.job import Job, job_graph, prepare
from simulator.located.locate import Located, Place
from simulator.network import FluidNetwork
from simulator.network.background import pulses, stream
from simulator.network.router import Router
from simulator.network.traffic import Traffic
from simulator.plan import Plan
from simulator.plans.network_records import BackgroundSection
from topologies.graphs import CutError
from topologies.machine import Machine
from topologies.units import Seconds


def simulate_contended(
    job: Job, located: Located, graph: Graph, *, is_expanded: bool = False
) -> Times:
    """Return ready and end times of a job's ops on the network that it shares.

    Args:
        job: priced, with its messages on a network.
        located: those messages.
        graph: of its ops; they can run to their end.
        is_expanded: send every message of its collectives by itself.

    Raises:
        Infeasible: failed links cut the way of a flow, or of another job.
    """
    background = job.plan.cluster.background
    per_node = job.cluster.devices_per_node
    tenant = _tenant(job, located, graph)
    if is_expanded:
        sent = {index: _Expanded(each) for index, each in tenant.sent.items()}
        tenant = Tenant(graph, sent)
    return _among(tenant, background, located.carrier.router, per_node)


def simulate_row(
    row: Sequence[Traffic],
    background: Iterable[BackgroundSection],
    router: Router,
    per_node: int,
) -> list[Seconds]:
    """Return when each of some collectives ends that run one after the other [s].

    Args:
        row: what they do to the network.
        background: what others send over it.
        router: of the network.
        per_node: devices in a node [1].

    Raises:
        Infeasible: failed links cut the way of a flow, or of another job.
    """
    count = len(row)
    idle = [0.0] * count
    graph = Graph(
        busy=idle,
        issued=idle,
        host=idle,
        successors=[[place + 1] for place in range(count - 1)] + [[]],
        num_before=[0] + [1] * (count - 1),
        programs=[list(range(count))],
        ranks=[(0,)] * count,
        host_waits=[False] * count,
    )
    tenant = Tenant(graph, dict(enumerate(row)))
    return _among(tenant, background, router, per_node).end


class _Expanded(NamedTuple):
    """Traffic of which every message is sent by itself."""

    traffic: Sendable

    def run(self, network: FluidNetwork, *, expanded: bool = True) -> Any:
        """Send it, and return the event that it has arrived."""
        return self.traffic.run(network, expanded=expanded)


def _among(
    tenant: Tenant,
    background: Iterable[BackgroundSection],
    router: Router,
    per_node: int,
) -> Times:
    sections = list(background)
    return simulate_shared(
        tenant,
        router.bandwidth,
        others=[_other(one, router, per_node) for one in sections if one.plan],
        sources=[_source(one, router, per_node) for one in sections if not one.plan],
    )


def _tenant(job: Job, located: Located, graph: Graph) -> Tenant:
    ops = enumerate(job.workload.ops)
    traffic = located.traffic
    return Tenant(graph, {i: traffic[op.body] for i, op in ops if op.body in traffic})


def _other(section: BackgroundSection, router: Router, per_node: int) -> Tenant:
    """Return another job's step, from its plan's file."""
    assert section.plan is not None
    assert section.first_node is not None
    first = section.first_node * per_node
    other = prepare(Plan.load(section.plan), place=Place(router, first))
    assert other.located is not None
    graph = job_graph(other)
    return _tenant(other, other.located, graph)


def _source(section: BackgroundSection, router: Router, per_node: int) -> Source:
    assert section.from_ is not None
    assert section.to is not None
    ends = (section.from_, section.to)
    if isinstance(router, Machine):
        router = router.wiring  # between the nodes; its links come first
    elif per_node > 1:
        # On rails hosts are devices, and a node sends by its first.
        first, last = (node * per_node for node in ends)
        ends = (first, last)
    try:
        return _flow(section, router, ends)
    except CutError as error:
        raise Infeasible(str(error)) from None


def _flow(section: BackgroundSection, router: Router, ends: tuple[int, int]) -> Source:
    if section.rate is not None:
        return stream(router, ends, section.rate)
    assert section.size is not None
    assert section.period is not None
    return pulses(router, ends, section.size, section.period)
