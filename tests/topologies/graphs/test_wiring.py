"""Wirings: usual paths, failed links, and one line of figures."""

import numpy as np
import pytest

from topologies.graphs import CutError, GraphError, build, routes
from topologies.graphs.wiring import Wiring, summary, usual_paths

LINK = {"bandwidth": 12.5e9, "latency": 5e-7}


@pytest.mark.parametrize(
    ("family", "parameters", "expected"),
    [
        ("torus", {"shape": [4, 4]}, "dimension-order"),
        ("mesh", {"shape": [3, 4]}, "dimension-order"),
        ("hypercube", {"dimension": 3}, "dimension-order"),
        ("fat-tree", {"k": 4}, "up-down"),
        ("star", {"hosts": 4}, "up-down"),
        ("wheel", {"hosts": 6}, "shortest"),
        ("random-regular", {"hosts": 8, "degree": 3}, "shortest"),
        ("dragonfly", {"a": 2, "h": 1, "p": 1, "g": 3}, "shortest"),
    ],
)
def test_usual_paths_are_there_and_lead_everywhere(family, parameters, expected):
    network = build(family, **parameters, **LINK)
    assert expected == usual_paths(network)
    wiring = Wiring(network=network, paths=usual_paths(network))
    hosts = range(wiring.num_endpoints)
    found = wiring.routes([(a, b) for a in hosts for b in hosts if a != b])
    assert np.all(np.diff(found.start) > 0)


@pytest.mark.parametrize("spread", ["one", "split", "hashed"])
def test_a_wiring_routes_with_its_options(spread):
    network = build("fat-tree", k=4, **LINK)
    pairs = [(0, 15), (3, 4)]
    wiring = Wiring(network=network, spread=spread, seed=3, failed=(40,))
    expected = routes(network, pairs, spread=spread, seed=3, failed=(40,))
    actual = wiring.routes(pairs)
    assert expected.link.tolist() == actual.link.tolist()
    assert expected.fraction.tolist() == actual.fraction.tolist()
    assert network.bandwidth is wiring.bandwidth
    assert network.link_name(5) == wiring.link_name(5)


def test_a_degraded_link_is_slower_and_stays_in_use():
    ring = build("ring", hosts=4, **LINK)
    wiring = Wiring(network=ring.degraded({0: 0.25}))
    assert wiring.routes([(0, 1)]).link.tolist() == [0]
    assert wiring.bandwidth[0] == 0.25 * LINK["bandwidth"]
    assert wiring.bandwidth[1] == LINK["bandwidth"]


def test_failed_links_are_gone_round_or_the_cut_is_named():
    ring = build("ring", hosts=6, **LINK)
    gap = ring.links_between(0, 1) + ring.links_between(1, 0)
    assert len(Wiring(network=ring, failed=gap).routes([(0, 1)]).link) == 5
    other = ring.links_between(2, 3) + ring.links_between(3, 2)
    cut = Wiring(network=ring, failed=gap + other)
    assert len(cut.routes([(1, 2)]).link) == 1
    with pytest.raises(CutError, match="host 1, host 2 cannot reach") as caught:
        cut.routes([(0, 1)])
    assert caught.value.separated == (1, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"paths": "up-down"}, "no tiers"),
        ({"paths": "dimension-order"}, "no grid"),
        ({"failed": (99,)}, "links are 0"),
        ({"spread": "most"}, "one, split, hashed"),
    ],
)
def test_options_that_a_network_does_not_have_are_refused_at_once(options, message):
    with pytest.raises(GraphError, match=message):
        Wiring(network=build("ring", hosts=4, **LINK), **options)


@pytest.mark.parametrize(
    ("family", "parameters", "expected"),
    [
        (
            "wheel",
            {"hosts": 8},
            "wheel of 8: diameter 2, mean path 1.5, bisection 6 × 12.5 GB/s",
        ),
        (
            "leaf-spine",
            {"leaves": 2, "hosts_per_leaf": 4, "spines": 2, "oversubscription": 2.0},
            (
                "leaf-spine, 2 leaves of 4, 2 spines: diameter 4, mean path 3.14, "
                "bisection 2 × 12.5 GB/s, oversubscription 2"
            ),
        ),
    ],
)
def test_a_network_is_one_line(family, parameters, expected):
    network = build(family, **parameters, **LINK)
    assert expected == summary(network)
    assert (
        f"{expected}, 1 failed link" == Wiring(network=network, failed=(2,)).describe()
    )


def test_a_bound_and_links_of_several_rates_are_said_as_such():
    random = build("random-regular", hosts=64, degree=4, **LINK)
    assert "bisection at most " in summary(random)
    slow = build("ring", hosts=4, **LINK).degraded({0: 0.5, 1: 0.5})
    assert summary(slow).endswith("bisection 18.8 GB/s")
