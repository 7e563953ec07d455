"""A workload on a graph: every message that shares links has its own place on it.

Loaded only for plans that name a graph; all of this is NumPy.

Limits: messages inside a node whose fabric is a switch share nothing, and are priced
as on any switch. Another job on the same fabric has the devices of this plan's nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from simulator.errors import Infeasible
from simulator.located.carrier import Carrier
from simulator.located.hosts import Hosts
from simulator.located.mesh import Mesh
from simulator.located.rings import Rings
from simulator.lowering.sent import Sent, written_out
from simulator.network import Router, Traffic
from simulator.plan import Plan
from simulator.plans.network_records import ClusterSection
from simulator.plans.wiring import Rates, build_machine
from simulator.pricing.link_fits import adapter_rate
from simulator.workload import Axis, Body, Workload
from topologies.graphs import GraphError
from topologies.hardware import Cluster
from topologies.profile import Profile

_BETWEEN_KERNELS: tuple[Axis, ...] = ("tensor",)


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """A workload, and what its messages do to the network.

    Fields:
        workload: with a body of its own for each message at each place.
        traffic: of the bodies whose message shares links.
        sent: of all bodies of one message, that message and who starts it.
        carrier: that made the traffic.
    """

    workload: Workload
    traffic: Mapping[Body, Traffic]
    sent: Mapping[Body, Sent]
    carrier: Carrier


class Place(NamedTuple):
    """Where a job sits on a network.

    Fields:
        router: links and routes between devices.
        first: device of its rank 0.
    """

    router: Router
    first: int = 0


def own_place(
    section: ClusterSection, cluster: Cluster, profile: Profile, seed: int
) -> Place:
    """Return the graph of a plan's devices, with the rates that were measured.

    Args:
        section: the plan's hardware, which has a graph.
        cluster: built of it.
        profile: constants to price with.
        seed: of hashed routes.
    """
    rates = Rates(
        adapter_rate(cluster.network, profile), adapter_rate(cluster.fabric, profile)
    )
    machine = build_machine(section, rates, seed=seed)
    assert machine is not None, "only plans with a graph come here"
    return Place(machine)


def locate(
    plan: Plan, cluster: Cluster, profile: Profile, workload: Workload, place: Place
) -> Located:
    """Return a plan's workload with its messages on a network.

    Args:
        plan: that was lowered.
        cluster: its hardware.
        profile: constants to price with.
        workload: folded or not.
        place: on the network.

    Raises:
        Infeasible: failed links cut a group apart, or its switches cannot add.
    """
    hosts = Hosts.of(cluster, profile)
    carrier = Carrier(
        router=place.router,
        mesh=Mesh(plan.parallelism.degrees, place.first),
        hosts=hosts,
        rings=Rings(
            router=place.router,
            hosts=hosts,
            places=plan.synchronization.ring_order,
            first=place.first,
        ),
        algorithm=plan.synchronization.algorithm,
    )
    has_plain_nodes = plan.cluster.node is None
    inline = _BETWEEN_KERNELS if has_plain_nodes else ()
    if has_plain_nodes and cluster.devices_per_node % plan.parallelism.tensor:
        inline = ()
    split, sent = written_out(workload, inline)
    try:
        traffic = {
            body: carrier.traffic(each)
            for body, each in sent.items()
            if carrier.shares_links(each, has_plain_nodes=has_plain_nodes)
        }
    except GraphError as error:
        raise Infeasible(str(error)) from None
    return Located(split, traffic, sent, carrier)
