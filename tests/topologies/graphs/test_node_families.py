"""Nodes: what joins their devices, and that devices pass nothing on."""

from dataclasses import replace

import numpy as np
import pytest

from topologies.graphs import GraphError
from topologies.graphs.families import (
    NODES,
    build_node,
    describe_nodes,
    node_parameters_of,
)
from topologies.graphs.nodes import adapter_shares, node_routes

FABRIC = {"bandwidth": 60.0, "latency": 2.0}
ENDS = {"adapter_bandwidth": 5.0, **FABRIC}
PCIE = {"pcie_bandwidth": 10.0, "pcie_latency": 0.5}
CASES = [
    ("switch", 8, 8, {}),
    ("switch", 8, 4, PCIE),
    ("switch", 1, 1, {}),
    ("full", 4, 2, PCIE),
    ("full", 1, 0, PCIE),
    ("nvlink-pairs", 4, 1, PCIE),
    ("nvlink-pairs", 5, 2, PCIE | {"switches": 0}),
    ("hybrid-cube-mesh", 8, 4, PCIE),
    ("hybrid-cube-mesh", 8, 4, PCIE | {"links": 4}),
    ("pcie-single-root", 8, 1, {}),
    ("pcie-single-root", 3, 2, {"switches": 0}),
    ("pcie-dual-root", 8, 1, {}),
    ("pcie-dual-root", 8, 2, {"adapters_on": "socket", "switches": 4}),
]
# Links between the devices of a DGX-1 with V100, as nvidia-smi prints them.
DGX1 = [
    [0, 1, 1, 2, 2, 0, 0, 0],
    [1, 0, 2, 1, 0, 2, 0, 0],
    [1, 2, 0, 2, 0, 0, 1, 0],
    [2, 1, 2, 0, 0, 0, 0, 1],
    [2, 0, 0, 0, 0, 1, 1, 2],
    [0, 2, 0, 0, 1, 0, 2, 1],
    [0, 0, 1, 0, 1, 2, 0, 2],
    [0, 0, 0, 1, 2, 1, 2, 0],
]
each_node = pytest.mark.parametrize(
    ("family", "devices", "adapters", "parameters"), CASES
)


def node_of(family, devices, adapters, parameters):
    return build_node(family, devices=devices, adapters=adapters, **ENDS, **parameters)


def path(node, found, a, b):
    """The nodes that a message passes, first and last included."""
    links = list(found.of(a * node.network.num_hosts + b)[0])
    passed = [a]
    while links:
        (link,) = (each for each in links if node.network.source[each] == passed[-1])
        links.remove(link)
        passed.append(int(node.network.target[link]))
    return passed


def names(node, a, b):
    return [node.network.labels[each] for each in path(node, node_routes(node), a, b)]


@each_node
def test_routes_lead_there_and_no_device_or_adapter_passes_them_on(
    family, devices, adapters, parameters
):
    node = node_of(family, devices, adapters, parameters)
    found = node_routes(node)
    size = node.network.num_hosts
    assert (devices, adapters) == (node.num_devices, node.num_adapters)
    for a in range(size):
        for b in range(size):
            passed = path(node, found, a, b)
            assert passed[-1] == b
            assert all(each >= size for each in passed[1:-1])
    assert np.all(found.fraction == 1)


@each_node
def test_every_device_has_its_share_of_the_nearest_adapters(
    family, devices, adapters, parameters
):
    node = node_of(family, devices, adapters, parameters)
    shares = adapter_shares(node, node_routes(node))
    assert (devices, adapters) == shares.shape
    assert np.full(devices, float(adapters > 0)) == pytest.approx(shares.sum(1))


@pytest.mark.parametrize("adapters", [1, 2, 3, 4, 8, 16])
def test_equally_near_adapters_are_divided_evenly(adapters):
    node = node_of("switch", 8, adapters, {})
    shares = adapter_shares(node, node_routes(node))
    if adapters <= 8:
        expected = [device * adapters // 8 for device in range(8)]
        assert expected == shares.argmax(1).tolist()
        assert np.all(shares.max(1) == 1)
    else:
        assert np.all(shares.max(1) == 0.5)
        assert np.all(shares.sum(0) == 0.5)


def test_devices_take_the_adapter_on_their_own_switch():
    node = node_of("pcie-dual-root", 8, 2, {})
    shares = adapter_shares(node, node_routes(node))
    assert shares.argmax(1).tolist() == [0] * 4 + [1] * 4


def test_the_fabric_is_preferred_even_where_pcie_is_as_short_and_quicker():
    node = node_of("switch", 8, 4, PCIE | {"pcie_latency": 0.0})
    assert names(node, 0, 1) == ["device 0", "switch", "device 1"]
    assert names(node, 0, 8) == ["device 0", "PCIe switch 0", "adapter 0"]


def test_sockets_are_crossed_where_they_must_be():
    node = node_of("pcie-dual-root", 8, 1, {"socket_bandwidth": 3.0})
    assert names(node, 0, 3) == ["device 0", "PCIe switch 0", "device 3"]
    assert names(node, 0, 4) == [
        "device 0",
        "PCIe switch 0",
        "host bridge 0",
        "host bridge 1",
        "PCIe switch 1",
        "device 4",
    ]
    links, _ = node_routes(node).of(4)
    assert node.network.bandwidth[links].min() == 3.0
    single = node_of("pcie-single-root", 8, 1, {})
    assert names(single, 0, 4)[2] == "host bridge 0"


@pytest.mark.parametrize(("links", "most"), [(6, 2), (4, 1)])
def test_the_cube_is_that_of_a_dgx1(links, most):
    node = node_of("hybrid-cube-mesh", 8, 4, PCIE | {"links": links})
    network, first = node.network, node.num_fabric_links
    width = np.zeros((8, 8))
    ends = network.source[:first], network.target[:first]
    np.add.at(width, ends, network.bandwidth[:first] / (FABRIC["bandwidth"] / links))
    assert np.minimum(DGX1, most) == pytest.approx(width)
    assert np.full(8, links) == pytest.approx(width.sum(0))
    assert names(node, 0, 4) == ["device 0", "device 4"]
    assert "host bridge 1" in names(node, 0, 5)


def test_direct_links_share_the_bandwidth_of_a_device():
    node = node_of("full", 4, 1, PCIE)
    assert np.all(node.network.bandwidth[: node.num_fabric_links] == 20.0)
    assert node.num_fabric_links == 12


def test_a_failed_fabric_link_leaves_pcie():
    node = node_of("hybrid-cube-mesh", 8, 4, PCIE)
    (there,) = node.network.links_between(0, 4)
    broken = replace(node, failed=(there, there ^ 1))
    assert "host bridge 0" in names(broken, 0, 4)
    assert names(broken, 1, 5) == ["device 1", "device 5"]


def test_devices_of_a_failed_adapter_take_the_next():
    node = node_of("switch", 4, 4, {})
    (out,) = node.network.links_between(8, 5)
    broken = replace(node, failed=(out, out ^ 1))
    shares = adapter_shares(broken, node_routes(broken))
    assert shares.argmax(1).tolist() == [0, 0, 2, 3]


def test_a_device_or_all_adapters_cut_off_are_named():
    node = node_of("switch", 4, 1, {})
    with pytest.raises(GraphError, match="no links lead from device 0 to device 1"):
        node_routes(replace(node, failed=(0,)))
    lost = replace(node, failed=node.network.links_between(5, 4))
    with pytest.raises(GraphError, match="device 0 reaches no adapter"):
        adapter_shares(lost, node_routes(lost))


def test_the_table_describes_every_kind_of_node():
    rows = describe_nodes()
    assert list(NODES) == [row["name"] for row in rows]
    assert all(row["node"] for row in rows)
    assert node_parameters_of("pcie-single-root")["switches"] == 2
    assert "pcie_bandwidth, pcie_latency = 0.0" in rows[1]["parameters"]


@pytest.mark.parametrize(
    ("family", "devices", "parameters", "message"),
    [
        ("swich", 8, {}, "unknown node 'swich'; did you mean 'switch'"),
        ("switch", 0, {}, "at least 1 device"),
        ("full", 4, {}, "full needs pcie_bandwidth"),
        ("hybrid-cube-mesh", 4, PCIE, "has 8"),
        ("hybrid-cube-mesh", 8, PCIE | {"links": 5}, "6 links"),
        ("pcie-dual-root", 8, {"adapters_on": "roof"}, "switch and socket"),
        ("pcie-dual-root", 8, {"switches": -1}, "not less than 0"),
        ("switch", 8, {"plx": 2}, "switch has no 'plx'; it takes pcie_bandwidth"),
    ],
)
def test_what_makes_no_node_is_refused(family, devices, parameters, message):
    with pytest.raises(GraphError, match=message):
        node_of(family, devices, 1, parameters)
