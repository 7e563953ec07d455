"""What does it take to push gradients to parameter servers, and to pull parameters?

Every node first adds the gradients of its own devices, on its host or on its devices,
each variable on one of them; then the nodes send to the servers, which are processes on
the nodes' hosts. A variable is added where it is before any of it goes on.

Limits: one replica is one device. Messages follow one another through all of this, so
that one's sums do not hide behind another's copies. All workers push at the same time,
and servers wait for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from models.model import Model
from simulator.costs.exchanges import server_exchange
from simulator.costs.servers import host_copy_time, summing_time
from simulator.plan import Plan
from simulator.pricing.link_fits import link_fit
from topologies.hardware import Cluster
from topologies.profile import Profile
from topologies.units import Bytes, Count, Seconds

Place = Literal["host", "device"]
_UPDATE_PASSES = 2  # a server reads its parameters and the sum, and writes them


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The servers of a plan.

    Fields:
        place: where a node adds its own devices' gradients.
        cluster: nodes and links.
        profile: fits of the links, and what the hosts do.
        servers: as many as would be busy if all had as much as the fullest [1].
        parts: the same of the devices of a node, where those add [1].
    """

    place: Place
    cluster: Cluster
    profile: Profile
    servers: Count
    parts: Count

    def time(self, pattern: str, size: Bytes) -> Seconds:
        """Return the time of one push or pull of all workers.

        T = latencies + inside a node + between nodes + sums of a push

        Args:
            pattern: `push` or `pull`.
            size: parameters of a worker [B].
        """
        cluster = self.cluster
        inside = self._inside(size)
        latency = link_fit(cluster.fabric, self.profile).transfer
        between = 0.0
        if cluster.num_nodes > 1:
            network = link_fit(cluster.network, self.profile)
            latency += network.transfer
            rate = cluster.adapters_per_node * network.efficiency
            sent = server_exchange(
                size, cluster.num_nodes, self.servers, is_colocated=True
            )
            between = sent.port_bytes / (rate * cluster.network.bandwidth)
        sums = self._sums(size) if pattern == "push" else 0.0
        return latency + inside + between + sums

    def _inside(self, size: Bytes) -> Seconds:
        """Return the time of all devices' copies inside a node."""
        devices, host = self.cluster.devices_per_node, self.profile.host
        if self.place == "host":
            beside = min(devices, host.per_root)
            return host_copy_time(size, beside, host.device, host.root)
        if devices == 1:
            return 0.0
        fabric = self.cluster.fabric
        rate = link_fit(fabric, self.profile).efficiency * fabric.bandwidth
        sent = server_exchange(size, devices, self.parts, is_colocated=True)
        return sent.port_bytes / rate

    def _sums(self, size: Bytes) -> Seconds:
        """Return the time of the fullest host's sums, for its node and as a server."""
        cluster, rate = self.cluster, self.profile.host.sum
        own = 0.0
        if self.place == "host":
            own = summing_time(size, cluster.devices_per_node, rate)
        if cluster.num_nodes == 1 and self.place == "device":
            return own
        part = size / self.servers
        return own + summing_time(part, cluster.num_nodes + _UPDATE_PASSES, rate)


def plan_servers(
    plan: Plan, model: Model, cluster: Cluster, profile: Profile
) -> Servers | None:
    """Return the servers of a plan; None if its replicas agree without."""
    synchronization = plan.synchronization
    if synchronization.scheme != "parameter-server":
        return None
    count = synchronization.servers or cluster.num_nodes
    devices = cluster.devices_per_node
    sizes = variables(model)
    is_whole = synchronization.whole_variables
    return Servers(
        place=synchronization.sum_on,
        cluster=cluster,
        profile=profile,
        servers=busy_servers(sizes, count) if is_whole else float(count),
        parts=busy_servers(sizes, devices),
    )


def variables(model: Model) -> tuple[Count, ...]:
    """Return the parameters of each operator that has any, in forward order [1]."""
    operators = (op for layer in model.layers for op in layer.operators)
    return tuple(float(op.parameters) for op in operators if op.parameters)


def busy_servers(sizes: tuple[Count, ...], count: int) -> Count:
    """Return all parameters over those of the fullest server [1].

    Each variable goes to the server that has least so far, in the order of the model.

    >>> busy_servers((6.0, 1.0, 2.0), 2)
    1.5
    """
    loads = [0.0] * count
    for size, server in zip(sizes, assigned(sizes, count), strict=True):
        loads[server] += size
    return sum(loads) / max(loads)


def assigned(sizes: tuple[Count, ...], count: int) -> tuple[int, ...]:
    """Return the server of each variable: the one that has least so far, of `count`.

    >>> assigned((6.0, 1.0, 2.0), 2)
    (0, 1, 1)
    """
    loads = [0.0] * count
    chosen = []
    for size in sizes:
        chosen.append(loads.index(min(loads)))
        loads[chosen[-1]] += size
    return tuple(chosen)
