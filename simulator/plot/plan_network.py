"""The network of a plan, or the inside of its only node; loads of links as colour."""

from __future__ import annotations

import os

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from simulator.errors import RehearsalError
from simulator.one_collective.plan import CollectivePlan
from simulator.plan import Plan
from simulator.plans.wiring import build_machine, build_wiring
from simulator.plot.network import draw
from topologies.graphs.arrays import Floats
from topologies.graphs.network import CutError
from topologies.graphs.wiring import Wiring
from topologies.machine import Machine

_UTILIZATION = "utilization over the {span} [1]"
_RING = "bytes for each byte that a node sends around a ring [1]"
_DEVICE_RING = "bytes for each byte that a device sends around a ring [1]"


class NoNetwork(RehearsalError):  # noqa: N818 - says what holds
    """A plan without a graph, of which there is nothing to draw."""

    exit_code = 2


def plot_network(
    plan: Plan | CollectivePlan,
    path: str | os.PathLike[str] | None = None,
    *,
    utilization: ArrayLike | None = None,
    seed: int = 0,
) -> Figure:
    """Return a drawing of a plan's network, written to `path` if given.

    The colour of a link is its utilization over the step; without one, what a ring over
    all nodes, in the order of the plan, would load it with. Of a single node the inside
    is drawn, and the ring is over its devices.

    Args:
        plan: whose network is drawn.
        path: of an SVG or PNG file.
        utilization: of each link over the step, or the collective; those of the
            network first, then those inside nodes [1].
        seed: of the hash, where paths are hashed.

    Raises:
        NoNetwork: the plan names no graph between its nodes, or inside its only one.
    """
    check_network(plan)
    file = None if path is None else os.fspath(path)
    loads: Floats | None
    if plan.cluster.nodes == 1:
        machine = build_machine(plan.cluster, seed=seed)
        assert isinstance(machine, Machine), "checked above"
        network, failed = machine.node.network, machine.node.failed
        loads, label = _device_loads(machine), _DEVICE_RING
    else:
        wiring = build_wiring(plan.cluster, seed=seed)
        network, failed = wiring.network, wiring.failed
        loads, label = _ring_loads(plan, wiring), _RING
    if utilization is not None:
        loads = np.asarray(utilization, np.float64)[: network.num_links]
        label = _UTILIZATION.format(span="step" if _is_step(plan) else "collective")
    return draw(network, loads, file, label=label, failed=failed)


def check_network(plan: Plan | CollectivePlan) -> None:
    """Refuse a plan that names no graph between its nodes, or inside its only one.

    Raises:
        NoNetwork: with what to write instead.
    """
    network = plan.cluster.network
    if plan.cluster.nodes == 1:
        if plan.cluster.node is None:
            raise NoNetwork(
                "one node has no network to draw; "
                "try --set cluster.node.topology=switch"
            )
        return
    if network is None or network.topology == "switch":
        raise NoNetwork(
            'topology = "switch" has no links to draw; '
            "try --set cluster.network.topology=star"
        )


def _is_step(plan: Plan | CollectivePlan) -> bool:
    return not isinstance(plan, CollectivePlan)


def _order(plan: Plan | CollectivePlan) -> str | tuple[int, ...]:
    if isinstance(plan, CollectivePlan):
        return plan.collective.ring_order
    return plan.synchronization.ring_order


def _device_loads(machine: Machine) -> Floats:
    """Return what a ring over the devices of a node loads each link with."""
    devices = np.arange(machine.num_endpoints)
    ends = np.stack([devices, np.roll(devices, -1)], 1)
    return machine.routes(ends[: len(devices) * (len(devices) > 1)]).loads(
        1.0, len(machine.bandwidth)
    )


def _ring_loads(plan: Plan | CollectivePlan, wiring: Wiring) -> Floats | None:
    """Return what a ring over the nodes loads each link with; None if it is cut."""
    order, nodes = _order(plan), plan.cluster.nodes
    hosts = np.arange(nodes) if isinstance(order, str) else np.array(order)
    if plan.cluster.network and plan.cluster.network.topology == "rail-optimized":
        hosts *= plan.cluster.devices_per_node
    ends = np.stack([hosts, np.roll(hosts, -1)], 1)
    try:
        return wiring.routes(ends).loads(1.0, wiring.network.num_links)
    except CutError:
        return None
