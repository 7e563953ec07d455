"""Wirings: usual paths, failed links, and one line of figures."""

import numpy as np
import pytest

from topologies.graphs import CutError, GraphError, build, figures, routes
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
    assert expected == Wiring(network=network).describe()


def described(family, *failed, **parameters):
    network = build(family, **parameters, **LINK)
    links = [network.links_between(*ends) for ends in failed]
    gone = tuple(way for (link,) in links for way in (link, link ^ 1))
    return Wiring(network=network, failed=gone).describe()


def test_figures_are_of_what_failures_leave():
    """A ring without a cable is a line; a leaf without an uplink has half as much."""
    line = "ring of 4: diameter 3, mean path 1.67, bisection 1 × 12.5 GB/s"
    assert f"{line}, 1 failed cable" == described("ring", (0, 1), hosts=4)
    leaves = {"leaves": 2, "hosts_per_leaf": 2, "spines": 2}
    for spine in (6, 7):
        text = described("leaf-spine", (4, spine), **leaves)
        assert text.endswith(
            "bisection 1 × 12.5 GB/s, oversubscription 2, 1 failed cable"
        )


def test_an_uplink_to_a_switch_without_uplinks_is_none():
    """One of 3 switches above a leaf of 3 lost the core: two ways up are left."""
    network = build("fat-tree", k=6, **LINK)
    levels = np.array(network.levels)
    inner = int(np.flatnonzero(levels == 2)[0])
    is_core = levels[network.target] == 3
    (up,) = np.nonzero((network.source == inner) & is_core)
    found = figures(network, [*up, *(up ^ 1)])
    assert found.oversubscription == 1.5


def test_links_that_failed_one_way_count_in_the_bisection():
    """Of three spines one is left that leads down to the first leaf, hosts 0 and 1."""
    network = build("leaf-spine", leaves=2, hosts_per_leaf=2, spines=3, **LINK)
    first, second, third = (network.links_between(spine, 4)[0] for spine in (6, 7, 8))
    found = figures(network, [first, second])
    expected = pytest.approx(network.bandwidth[third], rel=1e-12)
    assert expected == found.bisection_bandwidth


def test_a_cut_network_has_no_figures_and_says_so():
    expected = "ring of 4: cut, some hosts cannot reach each other, 2 failed cables"
    assert expected == described("ring", (0, 1), (2, 3), hosts=4)


def test_a_bound_and_links_of_several_rates_are_said_as_such():
    random = build("random-regular", hosts=64, degree=4, **LINK)
    assert "bisection at most " in summary(random)
    slow = build("ring", hosts=4, **LINK).degraded({0: 0.5, 1: 0.5})
    assert summary(slow).endswith("bisection 18.8 GB/s")
