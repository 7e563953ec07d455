"""Whether the hardware of a plan is known, and has all the links that it needs."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.errors import Fault
from simulator.plans.background import background_faults
from simulator.plans.fields import MAX_DEVICES, shown
from simulator.plans.hints import choices, folded_name
from simulator.plans.network_checks import network_faults, num_network_nodes
from simulator.plans.network_records import ClusterSection
from simulator.plans.node_checks import node_faults
from topologies import catalogue
from topologies.profile_file import (
    UnknownProfileError,
    is_file_name,
    load_profile,
    profile_names,
)

_CALIBRATE = "`simulate calibrate --out FILE.toml` writes one"


def cluster_faults(cluster: ClusterSection) -> Iterator[Fault]:
    """Yield what is unknown or missing: devices, links and profiles by name."""
    yield from _name_fault("cluster.device", "device", cluster.device)
    yield from _profile_fault(cluster.profile)
    nodes, devices = cluster.nodes, cluster.devices_per_node
    if cluster.num_devices > MAX_DEVICES:
        problem = f"{nodes} x {devices} = {cluster.num_devices} devices"
        yield Fault("cluster.nodes", problem, f"at most {MAX_DEVICES} are simulated")
    if cluster.fabric is not None:
        near = _usual_fabric(cluster)
        yield from _name_fault("cluster.fabric", "link", cluster.fabric, near)
    elif devices > 1:
        problem = f"is missing: {devices} devices in a node need a link between them"
        usual = _usual_fabric(cluster)
        remedy = f'add fabric = "{usual}" or another of `simulate list links`'
        yield Fault("cluster.fabric", problem, remedy)
    if cluster.network is not None:
        yield from _name_fault("cluster.network.link", "link", cluster.network.link)
    elif nodes > 1:
        problem = f"the table is missing: {nodes} nodes need a network between them"
        remedy = 'add [cluster.network] with link = "infiniband-hdr"'
        yield Fault("cluster.network", problem, remedy, involves=("cluster.nodes",))
    for name in ("pcie", "bridge", "socket"):
        link = getattr(cluster.node, name, None)
        if link is not None:
            yield from _name_fault(f"cluster.node.{name}", "link", link)


def machine_faults(cluster: ClusterSection) -> Iterator[Fault]:
    """Yield what is wrong with the graphs of a cluster whose links are known."""
    wrong = [*network_faults(cluster), *node_faults(cluster)]
    yield from wrong
    if cluster.background and not wrong:
        yield from background_faults(cluster, num_network_nodes(cluster))


def _profile_fault(name: str | None) -> Iterator[Fault]:
    if name is not None and is_file_name(name):
        try:
            load_profile(name)
        except UnknownProfileError as error:
            yield Fault("cluster.profile", str(error), _CALIBRATE)
    elif name is not None and name not in profile_names():
        remedy = choices(name, profile_names(), "`simulate list profiles`")
        yield Fault("cluster.profile", f"unknown profile {shown(name)}", remedy)


def _device_file_fault(key: str, name: str) -> Iterator[Fault]:
    """Yield why a file holds no measured device."""
    try:
        load_profile(name)
        catalogue.device(name)
    except (UnknownProfileError, catalogue.UnknownName) as error:
        yield Fault(key, str(error), _CALIBRATE)


def _usual_fabric(cluster: ClusterSection) -> str:
    """Return the link that nodes of the plan's device usually have."""
    try:
        return catalogue.device(cluster.device).fabric
    except catalogue.UnknownName:
        return "nvlink-3"


def _name_fault(key: str, kind: str, name: str, usual: str = "") -> Iterator[Fault]:
    """Yield that a name is unknown; if `usual` begins with it, that was meant."""
    if kind == "device" and is_file_name(name):
        yield from _device_file_fault(key, name)
        return
    if _is_known(kind, name):
        return
    names = catalogue.device_names() if kind == "device" else catalogue.link_names()
    small = folded_name(name)
    if _is_known(kind, small):
        names = (small, *names)  # it may be an alias, such as h100 for H100
    near = usual if usual.startswith(small) else None
    remedy = choices(name, names, f"`simulate list {kind}s`", near)
    yield Fault(key, f"unknown {kind} {shown(name)}", remedy)


def _is_known(kind: str, name: str) -> bool:
    try:
        catalogue.device(name) if kind == "device" else catalogue.link(name)
    except catalogue.UnknownName:
        return False
    return True
