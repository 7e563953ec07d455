"""Orders of rings: good ones are found on every graph, and a wrong one is worse."""

import random
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.network.ring_order import best_ring_order, ring_load, snake
from topologies.graphs import build
from topologies.graphs.families import build_node
from topologies.graphs.wiring import Wiring, usual_paths
from topologies.machine import Machine, alone

LINK = {"bandwidth": 2.0, "latency": 1e-6}
ENDS = {"adapter_bandwidth": 1.0, "bandwidth": 12.0, "latency": 1e-6}
RAILS = {"spines": 0, "fabric_bandwidth": 20.0, "fabric_latency": 1e-7}
FAMILIES = [
    ("wheel", {"hosts": 12}),
    ("random", {"hosts": 14, "probability": 0.25, "seed": 4}),
    ("random-regular", {"hosts": 12, "degree": 3}),
    ("torus", {"shape": [3, 5]}),
    ("mesh", {"shape": [3, 3]}),
    ("fat-tree", {"k": 4}),
    ("rail-optimized", {"servers": 4, "rails": 4, **RAILS}),
    ("dragonfly", {"a": 2, "h": 1, "p": 2, "g": 3}),
]


def wiring_of(family, **parameters):
    network = build(family, **parameters, **LINK)
    return Wiring(network=network, paths=usual_paths(network))


def shuffled(size, seed=0):
    hosts = list(range(size))
    random.Random(seed).shuffle(hosts)
    return hosts


def machine_of(family, devices, adapters, nodes, **parameters):
    ends = {"devices": devices, "adapters": adapters, **ENDS}
    node = build_node(family, **ends, **parameters)
    if nodes == 1:
        return Machine(wiring=alone(), node=node)
    network = build("star", hosts=nodes, bandwidth=adapters * 1.0, latency=1e-6)
    return Machine(wiring=Wiring(network=network), node=node)


def test_in_order_every_link_of_a_ring_carries_one_hop():
    wiring = wiring_of("ring", hosts=8)
    assert ring_load(wiring, range(8)) == 0.5
    assert ring_load(wiring, [0, 2, 4, 6, 1, 3, 5, 7]) > 0.5


@pytest.mark.parametrize(
    ("family", "parameters"),
    [
        ("wheel", {"hosts": 6}),
        ("random", {"hosts": 6, "probability": 0.4, "seed": 3}),
        ("mesh", {"shape": [2, 3]}),
    ],
)
def test_no_order_of_a_small_graph_is_better(family, parameters):
    wiring = wiring_of(family, **parameters)
    best = best_ring_order(wiring, range(6))
    loads = [ring_load(wiring, (0, *rest)) for rest in permutations(range(1, 6))]
    assert best.is_exact
    assert best.load == min(loads)
    assert best.load == ring_load(wiring, best.hosts)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.sampled_from(FAMILIES), st.integers(1, 16), st.integers(0, 99))
def test_the_order_chosen_is_never_worse_than_the_one_given(family, size, seed):
    wiring = wiring_of(family[0], **family[1])
    hosts = shuffled(wiring.num_endpoints, seed)[:size]
    best = best_ring_order(wiring, hosts)
    assert sorted(hosts) == sorted(best.hosts)
    assert hosts[0] == best.hosts[0]
    assert best.given_load == ring_load(wiring, hosts)
    assert best.load == ring_load(wiring, best.hosts)
    assert best.load <= best.given_load


@pytest.mark.parametrize("size", [6, 8, 9, 16, 33, 64, 300])
def test_a_shuffled_ring_is_found_again(size):
    wiring = wiring_of("ring", hosts=size)
    best = best_ring_order(wiring, shuffled(size))
    assert best.load == 0.5
    assert best.given_load > 0.5
    steps = {abs(a - b) for a, b in pairwise([*best.hosts, best.hosts[0]])}
    assert steps == {1, size - 1}


@pytest.mark.parametrize("family", ["torus", "mesh"])
@pytest.mark.parametrize("shape", [[4, 4], [5, 7], [4, 2, 3], [10, 12], [5, 5, 5]])
def test_a_grid_of_any_size_has_an_order_that_loads_no_link_twice(family, shape):
    wiring = wiring_of(family, shape=shape)
    best = best_ring_order(wiring, shuffled(wiring.num_endpoints))
    assert best.load == 0.5


@pytest.mark.parametrize("shape", [[4, 5], [3, 4, 5], [2, 2, 2, 2], [7]])
def test_neighbours_on_the_snake_are_neighbours_in_the_grid(shape):
    network = build("mesh", shape=shape, **LINK)
    place = snake(network)
    assert sorted(place) == list(range(network.num_hosts))
    order = np.argsort(place).tolist()
    assert all(network.links_between(a, b) for a, b in pairwise(order))


def test_crossing_leaves_only_where_it_must():
    wiring = wiring_of(
        "leaf-spine", leaves=2, hosts_per_leaf=4, spines=1, oversubscription=4
    )
    across = [0, 4, 1, 5, 2, 6, 3, 7]
    assert ring_load(wiring, across) == 4 * ring_load(wiring, range(8))
    assert best_ring_order(wiring, across).load == ring_load(wiring, range(8))


def test_large_tiers_keep_leaves_together():
    wiring = wiring_of(
        "leaf-spine", leaves=16, hosts_per_leaf=8, spines=2, oversubscription=4
    )
    best = best_ring_order(wiring, shuffled(128))
    assert best.load == ring_load(wiring, range(128)) < best.given_load


def test_on_rails_a_ring_goes_through_servers():
    wiring = wiring_of("rail-optimized", servers=4, rails=4, **RAILS)
    by_rail = [4 * server + rail for rail in range(4) for server in range(4)]
    assert ring_load(wiring, by_rail) == 0.5
    # Only the last device of a server sends out of it, half over each of two rails.
    assert best_ring_order(wiring, shuffled(16)).load == 0.25


def test_an_order_is_found_around_a_cut_cable():
    network = build("torus", shape=[4, 4], **LINK)
    gap = network.links_between(0, 1) + network.links_between(1, 0)
    wiring = Wiring(network=network, paths="dimension-order", failed=gap)
    best = best_ring_order(wiring, shuffled(16))
    assert best.load == 0.5 < best.given_load
    ends = list(pairwise([*best.hosts, best.hosts[0]]))
    assert not np.isin(gap, wiring.routes(ends).link).any()


def test_the_ring_of_a_cube_mesh_uses_double_links_only():
    machine = machine_of("hybrid-cube-mesh", 8, 4, 1, pcie_bandwidth=1.0)
    best = best_ring_order(machine, range(8))
    assert ring_load(machine, range(8)) == 1.0  # 3 → 4 and 7 → 0 are no neighbours
    assert best.load == 0.25  # a pair of links of 2 B/s each
    assert best.is_exact


@pytest.mark.parametrize("nodes", [2, 4, 12])
@pytest.mark.parametrize(
    ("family", "adapters", "parameters"),
    [
        ("hybrid-cube-mesh", 4, {"pcie_bandwidth": 1.0}),
        ("pcie-dual-root", 1, {}),
        ("switch", 8, {}),
    ],
)
def test_a_ring_of_devices_enters_and_leaves_each_node_once(
    family, adapters, parameters, nodes
):
    machine = machine_of(family, 8, adapters, nodes, **parameters)
    best = best_ring_order(machine, shuffled(8 * nodes))
    assert best.load == 1.0  # one hop over an adapter
    assert best.given_load >= best.load
    places = [device // 8 for device in best.hosts]
    changes = sum(a != b for a, b in pairwise([*places, places[0]]))
    assert changes == nodes


def test_some_devices_of_some_nodes_are_ordered_too():
    machine = machine_of("pcie-dual-root", 4, 1, 6)
    some = [0, 20, 3, 21, 1, 9, 22, 2, 10, 23]
    best = best_ring_order(machine, some)
    assert sorted(some) == sorted(best.hosts)
    assert best.load == 1.0 < best.given_load
