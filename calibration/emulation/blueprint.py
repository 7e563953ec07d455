"""A wiring as lines for `ip` and `tc`: what every namespace has to set up.

Node k of the graph is namespace k. Cable k is interface `cablek` at both of its ends,
so link 2k leaves the first end and link 2k + 1 the second. Every node has one address,
on an interface of its own that no cable can take down, and one route to every host,
the one that `Wiring.routes` predicts. Neighbours are told, not asked, so that
interfaces carry nothing but traffic.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations
from typing import NamedTuple

from calibration.emulation.errors import EmulationError
from calibration.emulation.shape import Shape, Shaped
from calibration.emulation.shape import lines as shaping
from topologies.graphs.network import Network
from topologies.graphs.wiring import Wiring

HOME = "eth0"  # the interface that has a node's address
_BLOCK = 250  # nodes of one third number of an address, to stay off 0 and 255


class Veth(NamedTuple):
    """A pair of interfaces: one here, its other end there, under the same name.

    Fields:
        name: of the interface at both ends.
        peer: namespace of the other end.
    """

    name: str
    peer: int


class Chamber(NamedTuple):
    """What one namespace has to set up.

    Fields:
        label: of the node, for messages.
        settings: kernel settings under /proc/sys, by path.
        veths: that it makes, in this order.
        ip: lines of `ip -batch`, after all veths of all namespaces exist.
        tc: lines of `tc -batch`, after those.
        cables: lines of `ip -batch` that bring a cable up, by name; part of `ip`.
    """

    label: str
    settings: dict[str, str]
    veths: list[Veth]
    ip: list[str]
    tc: list[str]
    cables: dict[str, list[str]]


def address_of(node: int) -> str:
    """Return the address of a node.

    >>> address_of(0), address_of(250)
    ('10.77.0.1', '10.77.1.1')
    """
    block, place = divmod(node, _BLOCK)
    return f"10.77.{block}.{place + 1}"


def cable_name(link: int) -> str:
    """Return the name of a link's interface, at both ends."""
    return f"cable{link // 2}"


class Ways(NamedTuple):
    """Which links traffic between hosts takes.

    Fields:
        onward: for every node and every host it passes traffic to, the link it takes.
        pairs: of sender and receiver whose traffic crosses each link.
    """

    onward: list[dict[int, int]]
    pairs: list[list[tuple[int, int]]]


def ways(wiring: Wiring) -> Ways:
    """Return which links the traffic of every pair of hosts takes.

    Raises:
        CutError: failed links separate some pair.
        EmulationError: traffic to one host leaves a node over two links.
    """
    network = wiring.network
    pairs = list(permutations(range(network.num_hosts), 2))
    routes = wiring.routes(pairs)
    onward: list[dict[int, int]] = [{} for _ in range(network.num_nodes)]
    crossing: list[list[tuple[int, int]]] = [[] for _ in range(network.num_links)]
    for number, pair in enumerate(pairs):
        for link in routes.of(number)[0].tolist():
            crossing[link].append(pair)
            known = onward[int(network.source[link])].setdefault(pair[1], link)
            if known != link:
                raise EmulationError(
                    f"traffic to {network.labels[pair[1]]} leaves over "
                    f"{network.link_name(known)} and over {network.link_name(link)}; "
                    "a namespace has one route to every host"
                )
    return Ways(onward, crossing)


def chambers(wiring: Wiring, shape: Shape, *, with_delay: bool) -> list[Chamber]:
    """Return what every node's namespace has to set up.

    Args:
        wiring: a network, and routes over one path for each pair.
        shape: of its cables.
        with_delay: whether to give links their latency too.
    """
    network, found = wiring.network, ways(wiring)
    shaped = [
        Shaped(
            device=cable_name(link),
            bandwidth=float(network.bandwidth[link]),
            delay=float(network.latency[link]) if with_delay else 0.0,
            pairs=[(address_of(a), address_of(b)) for a, b in found.pairs[link]],
        )
        for link in range(network.num_links)
    ]
    return [
        _chamber(network, node, found.onward[node], shape, shaped)
        for node in range(network.num_nodes)
    ]


def _chamber(
    network: Network,
    node: int,
    onward: dict[int, int],
    shape: Shape,
    shaped: list[Shaped],
) -> Chamber:
    """Return what one node's namespace has to set up."""
    leaving = [k for k in range(network.num_links) if network.source[k] == node]
    cables = {
        cable_name(link): list(_joined(network, link, onward, shape))
        for link in leaving
    }
    return Chamber(
        label=network.labels[node],
        settings=_settings(shape),
        veths=[
            Veth(cable_name(k), int(network.target[k])) for k in leaving if k % 2 == 0
        ],
        ip=[
            "link set lo up",
            f"link add {HOME} type veth peer name behind0",
            f"address add {address_of(node)}/32 dev {HOME}",
            f"link set {HOME} up",
            "link set behind0 up",
            *(line for lines in cables.values() for line in lines),
        ],
        tc=[line for link in leaving for line in shaping(shaped[link], shape)],
        cables=cables,
    )


def _joined(
    network: Network, link: int, onward: dict[int, int], shape: Shape
) -> Iterable[str]:
    """Return lines that bring a link's interface up, with all routes over it."""
    name, here = cable_name(link), address_of(int(network.source[link]))
    there = address_of(int(network.target[link]))
    # One segment at a time, or whole trains of packets would pass as one.
    frames = f"mtu {shape.mtu} gso_max_segs 1 txqueuelen 1000"
    yield f"link set {name} address {_hardware(link)} {frames} up"
    yield f"neighbour replace {there} lladdr {_hardware(link ^ 1)} dev {name}"
    for host, taken in onward.items():
        if taken == link:
            via = f"via {there} dev {name} onlink src {here}"
            yield f"route replace {address_of(host)}/32 {via}"


def _hardware(link: int) -> str:
    """Return the hardware address of a link's first interface."""
    return f"02:00:00:{link >> 16 & 255:02x}:{link >> 8 & 255:02x}:{link & 255:02x}"


def _settings(shape: Shape) -> dict[str, str]:
    memory = f"4096 {shape.window} {shape.window}"
    return {
        "net/ipv4/ip_forward": "1",
        "net/ipv4/conf/all/rp_filter": "0",
        "net/ipv4/conf/default/rp_filter": "0",
        "net/ipv4/conf/all/send_redirects": "0",
        "net/ipv4/conf/default/send_redirects": "0",
        "net/ipv6/conf/all/disable_ipv6": "1",
        "net/ipv6/conf/default/disable_ipv6": "1",
        "net/ipv4/tcp_congestion_control": shape.congestion,
        "net/ipv4/tcp_rmem": memory,
        "net/ipv4/tcp_wmem": memory,
        "net/ipv4/tcp_no_metrics_save": "1",
        "net/ipv4/tcp_slow_start_after_idle": "0",
        "net/ipv4/tcp_retries2": str(shape.num_retries),
        "net/ipv4/tcp_syn_retries": str(shape.num_retries),
    }
