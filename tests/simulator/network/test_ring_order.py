"""Orders of rings: the best is found on small graphs, and a wrong one is worse."""

from itertools import permutations

import pytest

from simulator.network.ring_order import best_ring_order, ring_load
from topologies.graphs import build

LINK = {"bandwidth": 2.0, "latency": 1e-6}


def test_in_order_every_link_of_a_ring_carries_one_hop():
    network = build("ring", hosts=8, **LINK)
    assert ring_load(network, range(8)) == 0.5
    assert ring_load(network, [0, 2, 4, 6, 1, 3, 5, 7]) > 0.5


@pytest.mark.parametrize(
    ("family", "parameters"),
    [
        ("wheel", {"hosts": 6}),
        ("random", {"hosts": 6, "probability": 0.4, "seed": 3}),
        ("mesh", {"shape": [2, 3]}),
    ],
)
def test_no_order_of_a_small_graph_is_better(family, parameters):
    network = build(family, **parameters, **LINK)
    best = best_ring_order(network, range(6))
    loads = [ring_load(network, (0, *rest)) for rest in permutations(range(1, 6))]
    assert best.is_exact
    assert best.load == pytest.approx(min(loads))
    assert best.load == pytest.approx(ring_load(network, best.hosts))


def test_a_shuffled_order_on_a_torus_is_mended():
    network = build("torus", shape=[4, 4], **LINK)
    shuffled = [0, 10, 5, 15, 2, 8, 13, 7, 3, 9, 6, 12, 1, 11, 4, 14]
    best = best_ring_order(network, shuffled)
    assert sorted(best.hosts) == list(range(16))
    assert not best.is_exact
    assert best.load < ring_load(network, shuffled)
    assert best.load == 0.5  # a torus of even sides has a Hamiltonian cycle


def test_crossing_leaves_only_where_it_must():
    network = build(
        "leaf-spine", leaves=2, hosts_per_leaf=4, spines=1, oversubscription=4, **LINK
    )
    across = [0, 4, 1, 5, 2, 6, 3, 7]
    assert ring_load(network, across) == 4 * ring_load(network, range(8))
    assert best_ring_order(network, across).load == ring_load(network, range(8))
