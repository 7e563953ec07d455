"""Two networks of large machines: rails and the dragonfly."""

from __future__ import annotations

from itertools import combinations, product

from topologies.graphs.network import Cable, Network, require, wired
from topologies.units import BytesPerSecond, Ratio, Seconds


def rail_optimized(  # noqa: PLR0913 - a table of parameters, by keyword
    *,
    servers: int,
    rails: int,
    spines: int,
    groups: int = 1,
    oversubscription: Ratio = 1.0,
    fabric_bandwidth: BytesPerSecond,
    fabric_latency: Seconds,
    bandwidth: BytesPerSecond,
    latency: Seconds,
) -> Network:
    """Return servers whose `r`-th adapters all meet on the leaf of rail `r`.

    A host is one accelerator with its adapter; those of a server are numbered in
    a row and meet on the server's own switch as well. A route to another rail may
    change rails inside the server at either end, or climb to a spine.

    Args:
        servers: machines, the same number in each group [1].
        rails: accelerators and adapters of a server [1].
        spines: switches that join all leaves; 0 where one group needs none [1].
        groups: of servers, each with a leaf for every rail [1].
        oversubscription: downlink ÷ uplink of a leaf [1].
        fabric_bandwidth: of an accelerator's link inside its server [B/s].
        fabric_latency: of that link [s].
        bandwidth: of an adapter's link [B/s].
        latency: of each link outside the servers [s].
    """
    require(
        holds=min(servers, rails, groups) >= 1 and servers % groups == 0,
        otherwise=f"{servers} servers, {rails} rails, {groups} groups; "
        "all are at least 1, and groups divides servers",
    )
    require(
        holds=spines >= (groups > 1) and oversubscription > 0,
        otherwise=f"{spines} spines, oversubscription {oversubscription}; "
        "several groups meet on spines, and oversubscription is above 0",
    )
    hosts, per_group = servers * rails, servers // groups
    first_leaf = hosts + servers
    first_spine = first_leaf + groups * rails
    uplink = per_group * bandwidth / (max(spines, 1) * oversubscription)
    cables = []
    for server, rail in product(range(servers), range(rails)):
        host, leaf = server * rails + rail, server // per_group * rails + rail
        inside = Cable(host, hosts + server, fabric_bandwidth, fabric_latency)
        cables += [inside, Cable(host, first_leaf + leaf, bandwidth, latency)]
    cables += [
        Cable(leaf, first_spine + spine, uplink, latency)
        for leaf, spine in product(range(first_leaf, first_spine), range(spines))
    ]
    labels = [
        *(f"host {s}.{rail}" for s, rail in product(range(servers), range(rails))),
        *(f"server {server}" for server in range(servers)),
        *(f"leaf {g}.{rail}" for g, rail in product(range(groups), range(rails))),
        *(f"spine {spine}" for spine in range(spines)),
    ]
    name = f"rails, {servers} servers of {rails}, {spines} spines"
    switches = servers + groups * rails + spines
    return wired(name, hosts, cables, num_switches=switches, labels=labels)


def dragonfly(  # noqa: PLR0913 - a table of parameters, by keyword
    *,
    a: int,
    h: int,
    p: int,
    g: int,
    bandwidth: BytesPerSecond,
    latency: Seconds,
) -> Network:
    """Return groups of routers: full inside, and every two groups joined.

    The a · h global ports of a group go to the other groups in turn; each two groups
    have ⌊a h / (g - 1)⌋ cables, and ports that are left over stay open.

    Args:
        a: routers in a group [1].
        h: global ports of a router [1].
        p: hosts on a router [1].
        g: groups, at most a · h + 1 [1].
        bandwidth: of each link [B/s].
        latency: of each link [s].
    """
    require(
        holds=min(a, h, p, g) >= 1 and g <= a * h + 1,
        otherwise=f"a = {a}, h = {h}, p = {p}, g = {g}; all are at least 1, "
        f"and g is at most a · h + 1 = {a * h + 1}",
    )
    hosts = a * p * g
    ends = [(host, hosts + host // p) for host in range(hosts)]
    for group in range(g):
        routers = range(hosts + group * a, hosts + (group + 1) * a)
        ends += combinations(routers, 2)
    for low, high in combinations(range(g), 2):
        for turn in range(a * h // (g - 1)):
            there = turn * (g - 1) + high - low - 1
            back = turn * (g - 1) + g - (high - low) - 1
            ends.append((hosts + low * a + there // h, hosts + high * a + back // h))
    cables = [Cable(*pair, bandwidth, latency) for pair in ends]
    name = f"dragonfly a={a} h={h} p={p} g={g}"
    return wired(name, hosts, cables, num_switches=a * g)
