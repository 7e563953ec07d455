"""Networks of switches in tiers: star, leaf and spine, Clos, fat-tree, rails.

Hosts are tier 0, leaves 1, spines 2, cores 3. Uplinks are as wide as the stated
oversubscription makes them: downlink ÷ uplink of each switch, summed over its ports.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from topologies.graphs.network import Cable, Network, require, wired
from topologies.units import BytesPerSecond, Ratio, Seconds


def star(*, hosts: int, bandwidth: BytesPerSecond, latency: Seconds) -> Network:
    """Return hosts on one non-blocking switch.

    Args:
        hosts: at least 2 [1].
        bandwidth: of each link [B/s].
        latency: of each link; a message crosses two [s].
    """
    require(holds=hosts >= 2, otherwise=f"a star of {hosts}; hosts is at least 2")
    cables = [Cable(host, hosts, bandwidth, latency) for host in range(hosts)]
    levels = [0] * hosts + [1]
    name = f"star of {hosts}"
    return wired(name, hosts, cables, levels=levels, half=range(hosts // 2))


def leaf_spine(  # noqa: PLR0913 - a table of parameters, by keyword
    *,
    leaves: int,
    hosts_per_leaf: int,
    spines: int,
    oversubscription: Ratio = 1.0,
    bandwidth: BytesPerSecond,
    latency: Seconds,
) -> Network:
    """Return a two-level Clos: every leaf joined to every spine.

    Args:
        leaves: switches with hosts [1].
        hosts_per_leaf: hosts on each leaf [1].
        spines: switches above the leaves [1].
        oversubscription: downlink ÷ uplink of a leaf; sets the uplinks' bandwidth [1].
        bandwidth: of a host's link [B/s].
        latency: of each link [s].
    """
    _positive(leaves=leaves, hosts_per_leaf=hosts_per_leaf, spines=spines)
    _positive(oversubscription=oversubscription)
    hosts = leaves * hosts_per_leaf
    uplink = hosts_per_leaf * bandwidth / (spines * oversubscription)
    first_spine = hosts + leaves
    cables = [
        *(
            Cable(host, hosts + host // hosts_per_leaf, bandwidth, latency)
            for host in range(hosts)
        ),
        *(
            Cable(hosts + leaf, first_spine + spine, uplink, latency)
            for leaf, spine in product(range(leaves), range(spines))
        ),
    ]
    levels = [0] * hosts + [1] * leaves + [2] * spines
    half = range(hosts // 2) if leaves % 2 == 0 else ()
    name = f"leaf-spine, {leaves} leaves of {hosts_per_leaf}, {spines} spines"
    return wired(name, hosts, cables, levels=levels, half=half)


def clos(  # noqa: PLR0913 - a table of parameters, by keyword
    *,
    pods: int,
    leaves_per_pod: int,
    hosts_per_leaf: int,
    spines_per_pod: int,
    cores_per_spine: int,
    oversubscription: Ratio = 1.0,
    core_oversubscription: Ratio = 1.0,
    bandwidth: BytesPerSecond,
    latency: Seconds,
) -> Network:
    """Return a three-level Clos; spine `j` of every pod has the same cores.

    Args:
        pods: of leaves and spines, all joined to each other inside [1].
        leaves_per_pod: switches with hosts [1].
        hosts_per_leaf: hosts on each leaf [1].
        spines_per_pod: switches above the leaves [1].
        cores_per_spine: cores above each spine, shared by all pods [1].
        oversubscription: downlink ÷ uplink of a leaf [1].
        core_oversubscription: downlink ÷ uplink of a spine [1].
        bandwidth: of a host's link [B/s].
        latency: of each link [s].
    """
    _positive(pods=pods, leaves_per_pod=leaves_per_pod, hosts_per_leaf=hosts_per_leaf)
    _positive(spines_per_pod=spines_per_pod, cores_per_spine=cores_per_spine)
    _positive(oversubscription=oversubscription)
    _positive(core_oversubscription=core_oversubscription)
    leaves, spines = pods * leaves_per_pod, pods * spines_per_pod
    hosts, cores = leaves * hosts_per_leaf, spines_per_pod * cores_per_spine
    uplink = hosts_per_leaf * bandwidth / (spines_per_pod * oversubscription)
    top = leaves_per_pod * uplink / (cores_per_spine * core_oversubscription)
    first_spine, first_core = hosts + leaves, hosts + leaves + spines
    cables = [
        Cable(host, hosts + host // hosts_per_leaf, bandwidth, latency)
        for host in range(hosts)
    ]
    for pod in range(pods):
        own_leaves = range(hosts + pod * leaves_per_pod, first_spine)[:leaves_per_pod]
        own_spines = range(first_spine + pod * spines_per_pod, first_core)
        own_spines = own_spines[:spines_per_pod]
        cables += [
            Cable(leaf, spine, uplink, latency)
            for leaf, spine in product(own_leaves, own_spines)
        ]
        cables += [
            Cable(spine, first_core + index * cores_per_spine + core, top, latency)
            for index, spine in enumerate(own_spines)
            for core in range(cores_per_spine)
        ]
    levels = [0] * hosts + [1] * leaves + [2] * spines + [3] * cores
    half = range(hosts // 2) if pods % 2 == 0 else ()
    name = f"clos, {pods} pods of {leaves_per_pod} leaves of {hosts_per_leaf}"
    return wired(name, hosts, cables, levels=levels, half=half)


def fat_tree(*, k: int, bandwidth: BytesPerSecond, latency: Seconds) -> Network:
    """Return the k-ary fat-tree: k³ / 4 hosts, all switches with k equal ports.

    Args:
        k: ports of a switch, even [1].
        bandwidth: of each link [B/s].
        latency: of each link [s].
    """
    require(
        holds=k >= 2 and k % 2 == 0,
        otherwise=f"k = {k}; the ports of a fat-tree's switches are an even number",
    )
    network = clos(
        pods=k,
        leaves_per_pod=k // 2,
        hosts_per_leaf=k // 2,
        spines_per_pod=k // 2,
        cores_per_spine=k // 2,
        bandwidth=bandwidth,
        latency=latency,
    )
    return replace(network, name=f"fat-tree of {k} ports")


def _positive(**values: float) -> None:
    for name, value in values.items():
        require(holds=value > 0, otherwise=f"{name} = {value}; it is above 0")
