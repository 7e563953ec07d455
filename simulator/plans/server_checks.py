"""What parameter servers ask of a plan, and what of them is not built yet."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.errors import Fault
from simulator.plans.records import (
    ClusterSection,
    ParallelismSection,
    StageTimesSection,
    SynchronizationSection,
)

_SCHEME = "synchronization.scheme"
_ALONE = ("servers", "sum_on", "whole_variables", "pull")


def server_faults(
    synchronization: SynchronizationSection,
    parallelism: ParallelismSection | None,
    cluster: ClusterSection | None,
    stage_times: StageTimesSection | None,
) -> Iterator[Fault]:
    """Yield what does not go with parameter servers, or what they alone take."""
    if synchronization.scheme != "parameter-server":
        yield from _unused_faults(synchronization)
        return
    problem = "parameter servers and {} are not built together yet"
    mesh = parallelism
    if mesh and mesh.tensor * mesh.context * mesh.expert * mesh.pipeline > 1:
        names = ("tensor", "context", "expert", "pipeline")
        keys = tuple(f"parallelism.{name}" for name in names)
        text = problem.format("replicas of several devices")
        yield Fault(_SCHEME, text, "write 1 for each of these", involves=keys)
    if mesh and mesh.layers:
        text, keys = problem.format("layers by name"), ("parallelism.layers",)
        yield Fault(_SCHEME, text, "leave [[parallelism.layers]] out", involves=keys)
    if mesh and mesh.zero:
        text, keys = problem.format("divided states"), ("parallelism.zero",)
        yield Fault(_SCHEME, text, "write zero = 0", involves=keys)
    if cluster and cluster.has_graph:
        text = problem.format("graphs of links")
        keys = ("cluster.network.topology", "cluster.node")
        yield Fault(_SCHEME, text, 'leave out topology, or "switch"', involves=keys)
    if stage_times:
        text = problem.format("[stage_times]")
        yield Fault(_SCHEME, text, "write [device_step]", involves=("stage_times",))
    count = synchronization.servers
    if cluster and count is not None and count > cluster.nodes:
        text = f"{count} servers, each on a node, but the cluster has {cluster.nodes}"
        remedy, nodes = f"at most {cluster.nodes}", ("cluster.nodes",)
        yield Fault("synchronization.servers", text, remedy, involves=nodes)


def _unused_faults(synchronization: SynchronizationSection) -> Iterator[Fault]:
    for name in _ALONE:
        usual = SynchronizationSection.model_fields[name].default
        if getattr(synchronization, name) != usual:
            problem = f"is of servers, and {synchronization.scheme} has none"
            remedy = 'take it out, or write scheme = "parameter-server"'
            key = f"synchronization.{name}"
            yield Fault(key, problem, remedy, involves=(_SCHEME,))
