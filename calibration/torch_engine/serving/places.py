"""Which processes a plan with parameter servers has, beside its workers.

The hosts of nodes are processes of their own, one a node, ranked behind all workers.
Where devices add, a host is needed only to be a server; on a single node the devices
themselves keep and update what they add, and there is none.
"""

from __future__ import annotations

from typing import NamedTuple

from simulator.lowering.served import is_served
from simulator.plan import Plan


class Places(NamedTuple):
    """The processes of a plan.

    Fields:
        nodes: of the cluster [1].
        devices: workers of a node [1].
        hosts: processes of nodes' hosts; on the first ones if fewer than nodes [1].
        servers: of those hosts that keep parameters, the first ones; 0 where devices
            keep them [1].
    """

    nodes: int
    devices: int
    hosts: int
    servers: int

    @property
    def workers(self) -> int:
        """All devices [1]."""
        return self.nodes * self.devices

    def worker(self, node: int, device: int) -> int:
        """Return the rank of a worker."""
        return node * self.devices + device

    def host(self, node: int) -> int:
        """Return the rank of a node's host."""
        return self.workers + node


def places_of(plan: Plan) -> Places:
    """Return the processes of a plan; without servers, its workers alone."""
    sync, cluster = plan.synchronization, plan.build_cluster()
    nodes, devices = cluster.num_nodes, cluster.devices_per_node
    if not is_served(plan):
        return Places(nodes, devices, 0, 0)
    servers = sync.servers or nodes
    if sync.sum_on == "host":
        return Places(nodes, devices, nodes, servers)
    if nodes == 1:
        return Places(nodes, devices, 0, 0)
    return Places(nodes, devices, servers, servers)


def num_processes(plan: Plan) -> int:
    """Return how many processes run a plan: its workers, and hosts with servers [1]."""
    return plan.world_size + places_of(plan).hosts
