"""Steps on a network that they share: messages contend with each other and others'.

One clock and one fluid network carry the step that is asked about, other jobs that
repeat theirs until it is over, and streams of a constant rate. Where a graph says so,
messages slow the kernels of the ranks that they start from (`pacing.py`), not those of
devices that they pass through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import simpy

from simulator.engines.event import Carry, Run
from simulator.engines.graph import Graph, Times
from simulator.network import FluidNetwork
from topologies.graphs.arrays import Floats


class Sendable(Protocol):
    """What a message does to the network: `simulator.network.Traffic`."""

    def run(self, network: FluidNetwork, *, expanded: bool = False) -> Any:
        """Send it, and return the event that it has arrived.

        Args:
            network: that carries it.
            expanded: message by message in any case.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Tenant:
    """One job's step, and which of its ops go through the network.

    Fields:
        graph: priced ops.
        sent: what the op of an index sends.
    """

    graph: Graph
    sent: Mapping[int, Sendable]


class Source(Protocol):
    """Background traffic: those of `simulator.network.background`."""

    def begin(self, network: FluidNetwork, goes_on: Callable[[], bool]) -> None:
        """Begin to send, and go on while told so."""


def simulate_shared(
    tenant: Tenant,
    bandwidth: Floats,
    others: Sequence[Tenant] = (),
    sources: Sequence[Source] = (),
) -> Times:
    """Return ready and end times of every op of a step among others.

    Args:
        tenant: the step that is asked about; it can run to its end.
        bandwidth: of every link [B/s].
        others: jobs that begin with it and repeat their steps until it is over.
        sources: of background traffic.
    """
    environment = simpy.Environment()
    network = FluidNetwork(environment, bandwidth)
    scene = _Scene(environment, network)
    for source in sources:
        source.begin(network, scene.goes_on)
    for other in others:
        scene.repeat(other)
    run = scene.run(tenant, scene.stop)
    if run.pacing is not None and run.pacing.is_crowded:
        network.on_demand = run.pacing.demand
    run.begin()
    environment.run(until=scene.over)
    return run.times()


class _Scene:
    """The clock, the network, and whether the step that counts is over."""

    def __init__(self, environment: simpy.Environment, network: FluidNetwork) -> None:
        self.environment = environment
        self.network = network
        self.over = environment.event()

    def goes_on(self) -> bool:
        """Return whether the step that counts is still running."""
        return not self.over.triggered

    def stop(self) -> None:
        """Note that the step that counts is over."""
        self.over.succeed()

    def run(self, tenant: Tenant, complete: Callable[[], None]) -> Run:
        """Return a step that is to begin now."""
        carry: dict[int, Carry] = {
            index: lambda sent=sent: sent.run(self.network)  # type: ignore[misc]
            for index, sent in tenant.sent.items()
        }
        return Run(self.environment, _only_issued(tenant), carry, complete)

    def repeat(self, tenant: Tenant) -> None:
        """Begin a job's step now, and again whenever it ends, until all is over."""
        if self.goes_on():
            self.run(tenant, lambda: self.repeat(tenant)).begin()


def _only_issued(tenant: Tenant) -> Graph:
    """Return the graph in which what the network carries only has to be issued."""
    graph = tenant.graph
    busy, issued = list(graph.busy), list(graph.issued)
    for index in tenant.sent:
        busy[index], issued[index] = 0.0, graph.host[index]
    return replace(graph, busy=busy, issued=issued)
