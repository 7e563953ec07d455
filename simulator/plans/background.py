"""Cross traffic of a plan: whether it can be, and the other jobs that it names."""

# ruff: noqa: PLC0415 - plans are read by what checks plans

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.errors import Fault, PlanError
from simulator.plans.fields import shown
from simulator.plans.network_records import BackgroundSection, ClusterSection
from topologies.units import Seconds, format_quantity

if TYPE_CHECKING:
    from simulator.plan import Plan

_TABLE = "cluster.background"
_FORMS = "write from, to and rate, or plan and first_node"
# Keys of a flow, and the fields that hold them.
_FLOW = {
    "from": "from_",
    "to": "to",
    "rate": "rate",
    "size": "size",
    "period": "period",
}
# Shorter ones cost events without end, for what a steady flow does as well.
_LEAST_PERIOD: Seconds = 10e-6
_NO_ROOM = "a larger network, or fewer nodes"
_PAIR = {"size": "1 GB", "period": "100 ms"}


def background_faults(cluster: ClusterSection, num_nodes: int) -> Iterator[Fault]:
    """Yield what is wrong with the cross traffic of a plan.

    Args:
        cluster: the plan's hardware.
        num_nodes: hosts of its network, those that it leaves free included [1].
    """
    if not cluster.background:
        return
    network = cluster.network
    if network is None or cluster.nodes == 1:
        yield Fault(_TABLE, "one node has no network to share", "leave it out")
        return
    if network.topology == "switch":
        problem = 'on a "switch" nothing is shared, so cross traffic changes nothing'
        remedy = 'write topology = "star" in [cluster.network]'
        yield Fault(_TABLE, problem, remedy, involves=("cluster.network.topology",))
        return
    taken = dict.fromkeys(range(cluster.nodes), "this plan's own")
    for number, traffic in enumerate(cluster.background):
        key = f"{_TABLE}[{number}]"
        faults = list(_form_faults(key, traffic))
        yield from faults
        if faults:
            continue
        if traffic.plan is None:
            yield from _flow_faults(key, traffic, num_nodes)
        else:
            yield from _job_faults(key, traffic, cluster, num_nodes, taken)


def _form_faults(key: str, traffic: BackgroundSection) -> Iterator[Fault]:
    """Yield whether the keys are those of a flow, or those of a job."""
    has = [name for name in _FLOW if getattr(traffic, _FLOW[name]) is not None]
    if traffic.plan is not None:
        if has:
            problem = f"has a plan, and {', '.join(has)} of a flow"
            yield Fault(key, problem, _FORMS)
    elif not has:
        yield Fault(key, "is neither a flow nor a job", _FORMS)
    else:
        if traffic.first_node is not None:
            problem = "is the first node of another job, and there is no plan"
            yield Fault(f"{key}.first_node", problem, _FORMS)
        for name in ("from", "to"):
            if name not in has:
                yield Fault(f"{key}.{name}", "is missing", f"add {name} = 0")
        yield from _amount_faults(key, has)


def _amount_faults(key: str, has: list[str]) -> Iterator[Fault]:
    """Yield whether a flow has either a rate, or a size and a period."""
    pair = [name for name in _PAIR if name in has]
    if "rate" in has and pair:
        problem = "both a rate and messages of a size are given"
        yield Fault(f"{key}.rate", problem, "keep one of the two")
    elif "rate" not in has and not pair:
        remedy = 'add rate = "5 Gbit/s", or a size and a period'
        yield Fault(key, "does not say how much it sends", remedy)
    elif "rate" not in has:
        for name, example in _PAIR.items():
            if name not in pair:
                yield Fault(f"{key}.{name}", "is missing", f'add {name} = "{example}"')


def _flow_faults(
    key: str, traffic: BackgroundSection, num_nodes: int
) -> Iterator[Fault]:
    for name, node in (("from", traffic.from_), ("to", traffic.to)):
        if node is not None and node >= num_nodes:
            remedy = f"they are 0 … {num_nodes - 1}"
            yield Fault(f"{key}.{name}", f"there is no node {node}", remedy)
    if traffic.from_ == traffic.to:
        problem = f"node {traffic.from_} sends to itself, over no link"
        yield Fault(f"{key}.to", problem, "name another node")
    if traffic.size and traffic.period and traffic.period < _LEAST_PERIOD:
        rate = format_quantity(traffic.size / traffic.period, "B/s")
        yield Fault(f"{key}.period", "as good as a steady flow", f'rate = "{rate}"')


def _job_faults(
    key: str,
    traffic: BackgroundSection,
    cluster: ClusterSection,
    num_nodes: int,
    taken: dict[int, str],
) -> Iterator[Fault]:
    """Yield what is wrong with another job, and take its nodes.

    Args:
        key: of its table.
        traffic: that it makes.
        cluster: the plan's hardware.
        num_nodes: hosts of the network [1].
        taken: nodes that are in use, and whose they are.
    """
    key, place = f"{key}.plan", f"{key}.first_node"
    name = shown(Path(str(traffic.plan)).name)
    try:
        other = other_job(traffic)
    except PlanError as error:
        first = error.faults[0]
        problem = f"{name}: {first.key}: {first.problem}"
        yield Fault(key, problem, first.remedy)
        return
    begin, nodes = traffic.first_node, other.cluster.nodes
    used = range(begin or 0, (begin or 0) + nodes)
    if begin is None:
        yield Fault(place, "is missing", _room(nodes, num_nodes, taken, "add "))
    elif used.stop > num_nodes:
        problem = f"{begin} + {nodes} nodes = {begin + nodes}, the network has"
        problem = f"{problem} {num_nodes} hosts"
        yield Fault(key, problem, _NO_ROOM, involves=(place,))
    elif problem := _overlap(used, taken):
        remedy = _room(nodes, num_nodes, taken)
        yield Fault(place, problem, remedy, involves=(key, "cluster.nodes"))
    else:
        taken.update(dict.fromkeys(used, f"those of {name}"))
    inside, here = other.cluster.devices_per_node, cluster.devices_per_node
    if inside != here:
        problem = f"has {inside} devices in a node, and the nodes here have {here}"
        yield Fault(key, problem, "nodes of one network are equal")


def _overlap(used: range, taken: dict[int, str]) -> str:
    """Return which nodes are in use already, and whose the first of them is; or ""."""
    both = [node for node in used if node in taken]
    if not both:
        return ""
    owner = taken[both[0]]
    last = max(node for node in both if taken[node] == owner)
    if last == both[0]:
        return f"node {last} is {owner.replace('those', 'one')}"
    return f"nodes {both[0]}-{last} are {owner}"


def _room(nodes: int, num_nodes: int, taken: dict[int, str], verb: str = "") -> str:
    """Return the first place with so many free nodes in a row, as a remedy."""
    for begin in range(num_nodes - nodes + 1):
        if not any(node in taken for node in range(begin, begin + nodes)):
            return f"{verb}first_node = {begin}"
    return _NO_ROOM


def other_job(traffic: BackgroundSection) -> Plan:
    """Return the plan of another job on the same network.

    Raises:
        PlanError: it is no plan, or has cross traffic of its own.
    """
    from simulator.plan import Plan
    from simulator.plans.reading import read_mapping

    assert traffic.plan is not None
    _, mapping = read_mapping(traffic.plan)
    cluster = mapping.get("cluster")
    if isinstance(cluster, Mapping) and cluster.get("background"):
        problem = "has cross traffic of its own, which could go on for ever"
        raise PlanError([Fault(_TABLE, problem, "leave it out of one of the two")])
    return Plan.load(traffic.plan)
