"""Machines: routes through nodes and the network between them, and what they carry."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topologies.graphs import CutError, GraphError, build, figures
from topologies.graphs.families import build_node
from topologies.graphs.nodes import adapter_shares, node_routes
from topologies.graphs.wiring import Wiring
from topologies.machine import Machine, alone

ENDS = {"adapter_bandwidth": 5.0, "bandwidth": 60.0, "latency": 2.0}
PCIE = {"pcie_bandwidth": 10.0, "pcie_latency": 0.5}
NODES = [
    ("switch", 4, 4, {}),
    ("switch", 4, 8, {}),
    ("full", 4, 2, PCIE),
    ("nvlink-pairs", 4, 1, PCIE),
    ("hybrid-cube-mesh", 8, 4, PCIE),
    ("pcie-dual-root", 6, 3, {}),
]
GRAPHS = [
    ("star", {"hosts": 3}),
    ("ring", {"hosts": 5}),
    ("fat-tree", {"k": 4}),
    ("torus", {"shape": [2, 3]}),
]


def machine_of(node=NODES[4], graph=GRAPHS[0], **options):
    family, devices, adapters, parameters = node
    inside = build_node(
        family, devices=devices, adapters=adapters, **ENDS, **parameters
    )
    bandwidth = max(adapters, 1) * ENDS["adapter_bandwidth"]
    network = build(graph[0], **graph[1], bandwidth=bandwidth, latency=1.0)
    return Machine(wiring=Wiring(network=network), node=inside, **options)


MACHINES = [machine_of(node, graph) for node in NODES for graph in GRAPHS]
INSIDE = {id(machine): node_routes(machine.node) for machine in MACHINES}
machines = st.sampled_from(MACHINES)
devices = st.integers(0, 999)


def shares(found, pair):
    links, fractions = found.of(pair)
    return dict(zip(links.tolist(), fractions.tolist(), strict=True))


def expected_shares(machine, sender, receiver):
    """A route by hand: out by every adapter, across, in by every adapter."""
    node, devices = machine.node, machine.node.num_devices
    size, inside = node.network.num_hosts, INSIDE[id(machine)]
    by_adapter = adapter_shares(node, inside)
    (from_node, a), (to_node, b) = divmod(sender, devices), divmod(receiver, devices)
    stretches = []
    if from_node == to_node:
        stretches.append((from_node, a * size + b, 1.0))
    else:
        for adapter in range(node.num_adapters):
            end = devices + adapter
            stretches.append((from_node, a * size + end, by_adapter[a, adapter]))
            stretches.append((to_node, end * size + b, by_adapter[b, adapter]))
    total = {}
    if from_node != to_node:
        total = shares(machine.wiring.routes([(from_node, to_node)]), 0)
    for place, pair, share in stretches:
        outer, inner = machine.wiring.network, machine.node.network
        for link, fraction in shares(inside, pair).items():
            number = outer.num_links + place * inner.num_links + link
            total[number] = total.get(number, 0.0) + share * fraction
    return {link: share for link, share in total.items() if share}


@settings(derandomize=True, deadline=None)
@given(machines, st.lists(st.tuples(devices, devices), max_size=6))
def test_a_route_is_its_stretches_and_its_latency_their_sum(machine, drawn):
    ends = machine.num_endpoints
    pairs = [(a % ends, b % ends) for a, b in drawn]
    found = machine.routes(pairs)
    latency = np.concatenate(
        [
            machine.wiring.network.latency,
            np.tile(machine.node.network.latency, machine.num_nodes),
        ]
    )
    for pair, (a, b) in enumerate(pairs):
        links, fractions = found.of(pair)
        assert expected_shares(machine, a, b) == pytest.approx(shares(found, pair))
        assert np.all(np.diff(links) > 0)
        assert latency[links] @ fractions == pytest.approx(found.latency[pair])


@settings(derandomize=True, deadline=None)
@given(machines, st.integers(0, 2**32))
def test_links_carry_what_is_sent_times_the_links_on_the_way(machine, seed):
    rng = np.random.default_rng(seed)
    pairs = rng.integers(0, machine.num_endpoints, (20, 2))
    sizes = rng.random(20)
    found = machine.routes(pairs)
    load = found.loads(sizes, len(machine.bandwidth))
    of = np.repeat(np.arange(20), np.diff(found.start))
    hops = np.bincount(of, found.fraction, 20)
    assert sizes @ hops == pytest.approx(load.sum())
    # Each device's own links carry all that it sends.
    inner, outer = machine.node.network, machine.wiring.network.num_links
    inside = load[outer:].reshape(machine.num_nodes, -1)
    own = inside[:, inner.source < machine.node.num_devices].sum()
    assert sizes[pairs[:, 0] != pairs[:, 1]].sum() == pytest.approx(own)


def test_one_device_is_limited_by_its_adapter_and_a_node_by_all_of_them():
    machine = machine_of(("switch", 4, 4, {}))
    one = machine.routes([(0, 4)])
    assert machine.bandwidth[one.link].min() == ENDS["adapter_bandwidth"]
    all_ = machine.routes([(device, 4 + device) for device in range(4)])
    load = all_.loads(1.0, len(machine.bandwidth)) / machine.bandwidth
    assert load.max() == 1 / ENDS["adapter_bandwidth"]
    several = machine_of(("switch", 4, 8, {}))
    load = several.routes([(0, 4)]).loads(1.0, len(several.bandwidth))
    assert (load / several.bandwidth).max() == 0.5 / ENDS["adapter_bandwidth"]


def test_links_are_numbered_and_named_network_first_then_node_by_node():
    machine = machine_of()
    outer = machine.wiring.network.num_links
    inner = machine.node.network.num_links
    assert outer + 3 * inner == len(machine.bandwidth)
    assert machine.link_name(0) == "host 0 → switch 0"
    assert machine.link_name(outer) == "node 0: device 0 → device 1"
    assert machine.link_name(outer + 2 * inner + 1) == "node 2: device 1 → device 0"


def test_one_node_alone_has_no_network():
    node = machine_of().node
    machine = Machine(wiring=alone(), node=node)
    assert machine.num_endpoints == 8
    assert np.array_equal(node.network.bandwidth, machine.bandwidth)
    assert machine.routes([(0, 4)]).latency.tolist() == [2.0]
    assert (
        machine.describe()
        == "1 node of a hybrid-cube-mesh of 8 devices, 4 adapters\none node"
    )


def test_figures_and_text_are_those_of_the_network():
    machine = machine_of()
    assert figures(machine.wiring.network) == machine.figures
    assert machine.describe().splitlines() == [
        "3 nodes of a hybrid-cube-mesh of 8 devices, 4 adapters",
        machine.wiring.describe(),
    ]


def test_figures_are_of_a_network_without_its_failed_links():
    machine = machine_of(graph=("ring", {"hosts": 4}))
    failed = Wiring(network=machine.wiring.network, failed=(0, 1))
    broken = Machine(wiring=failed, node=machine.node)
    assert (machine.figures.diameter, broken.figures.diameter) == (2, 3)
    assert broken.describe().endswith(failed.describe())


def test_fewer_nodes_than_hosts_may_be_used():
    machine = machine_of(graph=GRAPHS[2], num_nodes=5)
    assert machine.num_endpoints == 40
    with pytest.raises(GraphError, match=r"devices are 0 … 39"):
        machine.routes([(0, 40)])


def test_a_failed_link_between_nodes_is_gone_round_or_cuts():
    machine = machine_of(graph=("ring", {"hosts": 4}))
    network = machine.wiring.network
    gap = network.links_between(0, 1) + network.links_between(1, 0)
    around = Machine(wiring=Wiring(network=network, failed=gap), node=machine.node)
    extra = len(around.routes([(0, 8)]).link) - len(machine.routes([(0, 8)]).link)
    assert extra == 2
    other = network.links_between(1, 2) + network.links_between(2, 1)
    cut = Machine(wiring=Wiring(network=network, failed=gap + other), node=machine.node)
    assert len(cut.routes([(8, 9)]).link) == 1
    with pytest.raises(CutError, match="host 1 cannot reach") as caught:
        cut.routes([(0, 8)])
    assert caught.value.separated == (1,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_nodes": 4}, "4 nodes on 3 hosts"),
        ({"num_nodes": -1}, "nodes on 3 hosts"),
        ({"node": ("full", 4, 0, PCIE)}, "without adapters"),
    ],
)
def test_what_makes_no_machine_is_refused(options, message):
    with pytest.raises(GraphError, match=message):
        machine_of(**options)
