"""What a person should know about a plan before reading numbers from it."""

# ruff: noqa: PLC0415 - a plan on a switch loads no graphs

from __future__ import annotations

from simulator.lowering.sharding.broadcasts import has_owners
from simulator.lowering.sharding.rule import sharding_of
from simulator.plan import Plan
from simulator.plans.network_records import NetworkSection
from topologies import catalogue
from topologies.units import format_quantity

_MAX_NODES = 4096  # beyond, routes are not looked at just to say something
_MANY = 8  # devices of a node, which then often has several adapters
_IDLE_ON_A_SWITCH = ("hop_latency", "routing", "multipath")


def engine_notes(plan: Plan, engine: str) -> list[str]:
    """Return what an engine leaves out of a plan."""
    if engine != "analytical":
        return []
    alone = "the analytical engine prices"
    notes = [f"{alone} messages alone: cross traffic is left out"]
    shared = [f"{alone} kernels alone: that devices share cores is left out"]
    cluster = plan.cluster
    return notes * bool(cluster.background) + shared * bool(cluster.shared_cores)


def state_notes(plan: Plan) -> list[str]:
    """Return why a plan's stage of ZeRO is no more than the one below it."""
    rule = sharding_of(plan)
    if rule is None or rule.stage != 2 or rule.is_reduced_each:
        return []
    is_said = plan.parallelism.reduce_each is False
    why = (
        "reduce_each = false" if is_said else "pipelines do, unless reduce_each = true"
    )
    same = "zero = 2 is here what zero = 1 is: whole gradients are kept"
    return [f"{same} up to the last micro-batch ({why})"]


def adapter_notes(plan: Plan) -> list[str]:
    """Return that several devices share one adapter which the plan did not ask for."""
    cluster, network = plan.cluster, plan.cluster.network
    if network is None or cluster.nodes == 1 or cluster.devices_per_node < _MANY:
        return []
    if "adapters_per_node" in network.model_fields_set:
        return []
    sharing = f"the {cluster.devices_per_node} devices of a node share one adapter"
    return [f"cluster.network.adapters_per_node is left out: {sharing}"]


def link_notes(plan: Plan) -> list[str]:
    """Return what a person may not expect of the link between nodes."""
    cluster, network = plan.cluster, plan.cluster.network
    if network is None or cluster.nodes == 1:
        return []
    sheet = catalogue.link(network.link)
    rate = sheet.bandwidth if network.bandwidth is None else network.bandwidth
    whole = rate * network.adapters_per_node
    notes = []
    if whole > sheet.copy_rate:
        copied, offered = (format_quantity(r, "B/s") for r in (sheet.copy_rate, whole))
        notes.append(
            f"{network.link} is TCP: the processors of a node copy {copied}, however "
            f"much its adapters carry ({offered}); roce links have no such copies"
        )
    is_alone = network.topology == "switch" or "bandwidth" in network.model_fields_set
    if sheet.cables > 1 and not is_alone:
        each = format_quantity(rate / sheet.cables, "B/s")
        notes.append(
            f'every cable of the topology "{network.topology}" is a whole '
            f"{network.link}, whose {sheet.cables} cables have "
            f"{format_quantity(rate, 'B/s')} together; write "
            f'cluster.network.bandwidth = "{each}" for one of them'
        )
    return notes


def algorithm_notes(plan: Plan) -> list[str]:
    """Return that no all-reduce takes the algorithm that a plan asks for."""
    sync, zero = plan.synchronization, plan.parallelism.zero
    is_asked = "algorithm" in sync.model_fields_set and sync.algorithm != "ring"
    if not is_asked or zero == 0 or has_owners(plan):
        return []
    sums = f"zero = {zero} sums gradients by reduce-scatter"
    return [f"synchronization.algorithm is for all-reduce: {sums}, around a ring"]


def topology_notes(plan: Plan) -> list[str]:
    """Return why the topology of a plan cannot matter, or which keys do nothing."""
    network = plan.cluster.network
    if network is None:
        return []
    if network.topology == "switch":
        return _of_switch(plan, network)
    reason = _reason(plan, network)
    return [f'the topology "{network.topology}" cannot matter: {reason}'] * bool(reason)


def _of_switch(plan: Plan, network: NetworkSection) -> list[str]:
    set_here = network.model_fields_set
    keys = [f"cluster.network.{n}" for n in _IDLE_ON_A_SWITCH if n in set_here]
    if not isinstance(plan.synchronization.ring_order, str):
        keys.append("synchronization.ring_order")
    why = 'on a "switch" every pair of nodes has a path of its own'
    return [f"{key} changes nothing: {why}" for key in keys]


def _reason(plan: Plan, network: NetworkSection) -> str:
    """Return why every topology gives the same; empty if it may not."""
    cluster = plan.cluster
    if cluster.nodes == 1:
        return "the plan has one node, and nothing leaves it"
    if cluster.background:
        return ""
    if cluster.nodes == 2 and network.topology != "file":
        return "the plan has two nodes, and so one pair that communicates"
    is_one_ring = (
        plan.parallelism.pipeline * plan.parallelism.expert == 1
        and plan.parallelism.context == 1
        and cluster.devices_per_node % plan.parallelism.tensor == 0
        and plan.synchronization.algorithm == "ring"
        and network.hop_latency == 0
        and network.topology != "rail-optimized"
        and cluster.nodes <= _MAX_NODES
    )
    if is_one_ring and _has_links_of_its_own(plan):
        return (
            "all that leaves a node is one ring, and every hop of it has links of "
            "its own, as on a switch"
        )
    return ""


def _has_links_of_its_own(plan: Plan) -> bool:
    """Return whether no two hops of the nodes' ring share a link, nor is one slow."""
    import numpy as np

    from simulator.plans.wiring import build_wiring, sheet_rates
    from topologies.graphs.network import CutError

    cluster, order = plan.cluster, plan.synchronization.ring_order
    assert cluster.network is not None
    rates = sheet_rates(cluster)
    wiring = build_wiring(cluster, rates)
    # What `auto` finds is no worse than the order of ranks.
    nodes = np.arange(cluster.nodes) if isinstance(order, str) else np.array(order)
    ends = np.stack([nodes, np.roll(nodes, -1)], 1)
    try:
        loads = wiring.routes(ends).loads(1.0, wiring.network.num_links)
    except CutError:
        return False
    width = rates.network * cluster.network.adapters_per_node
    return bool((loads * width / wiring.bandwidth).max() <= 1 + 1e-9)
