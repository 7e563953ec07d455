"""Every family: counts, figures known from theory, and refusals that teach."""

import inspect
import math

import networkx as nx
import numpy as np
import pytest

from topologies.graphs import FAMILIES, GraphError, build, describe, figures
from topologies.graphs.bisection import _all_halves, bisection, cut_bandwidth
from topologies.graphs.families import parameters_of

LINK = {"bandwidth": 12.5e9, "latency": 5e-7}
CLOS = {"pods": 4, "leaves_per_pod": 2, "hosts_per_leaf": 2}
CLOS |= {"spines_per_pod": 2, "cores_per_spine": 1}
RAILS = {"servers": 4, "rails": 2, "spines": 2}
RAILS |= {"fabric_bandwidth": 9e11, "fabric_latency": 1e-7}

# family, parameters: hosts, switches, cables, diameter, bisection in links
CASES = [
    ("ring", {"hosts": 2}, (2, 0, 1, 1, 1)),
    ("ring", {"hosts": 9}, (9, 0, 9, 4, 2)),
    ("wheel", {"hosts": 9}, (9, 0, 16, 2, 6)),
    ("star", {"hosts": 6}, (6, 1, 6, 2, 3)),
    ("full", {"hosts": 7}, (7, 0, 21, 1, 12)),
    ("torus", {"shape": [4, 4]}, (16, 0, 32, 4, 8)),
    ("torus", {"shape": [4, 4, 2]}, (32, 0, 80, 5, 16)),
    ("torus", {"shape": [2, 2]}, (4, 0, 4, 2, 2)),
    ("mesh", {"shape": [4, 3]}, (12, 0, 17, 5, 3)),
    ("mesh", {"shape": [3, 3]}, (9, 0, 12, 4, 4)),
    ("hypercube", {"dimension": 4}, (16, 0, 32, 4, 8)),
    ("fat-tree", {"k": 4}, (16, 20, 48, 6, 8)),
    ("clos", CLOS | {"core_oversubscription": 2.0}, (16, 18, 40, 6, 4)),
    (
        "leaf-spine",
        {"leaves": 4, "hosts_per_leaf": 4, "spines": 2, "oversubscription": 4.0},
        (16, 6, 24, 4, 2),
    ),
    ("dragonfly", {"a": 2, "h": 1, "p": 2, "g": 3}, (12, 6, 18, 5, None)),
    ("rail-optimized", RAILS, (8, 8, 20, 4, None)),
    ("random-regular", {"hosts": 12, "degree": 3}, (12, 0, 18, None, None)),
    ("random", {"hosts": 3, "probability": 1.0}, (3, 0, 3, 1, 2)),
]


@pytest.mark.parametrize(("family", "parameters", "expected"), CASES)
def test_figures_are_those_of_theory(family, parameters, expected):
    hosts, switches, cables, diameter, width = expected
    network = build(family, **parameters, **LINK)
    found = figures(network)
    assert (found.num_hosts, found.num_switches) == (hosts, switches)
    assert found.num_links == 2 * cables
    if diameter is not None:
        assert found.diameter == diameter
    if width is not None:
        expected_width = width * LINK["bandwidth"]
        assert found.bisection_bandwidth == pytest.approx(expected_width, rel=1e-12)


@pytest.mark.parametrize(("family", "parameters", "expected"), CASES)
def test_paths_and_connection_are_those_of_networkx(family, parameters, expected):
    network = build(family, **parameters, **LINK)
    graph = nx.Graph(zip(network.source.tolist(), network.target.tolist(), strict=True))
    assert nx.is_connected(graph)
    assert len(graph) == network.num_nodes == len(network.labels)
    lengths = dict(nx.all_pairs_shortest_path_length(graph))
    hosts = range(network.num_hosts)
    between = [lengths[a][b] for a in hosts for b in hosts if a != b]
    found = figures(network)
    assert found.diameter == max(between)
    assert found.mean_path_length == pytest.approx(sum(between) / len(between))


@pytest.mark.parametrize(
    ("family", "parameters"),
    [case[:2] for case in CASES if case[2][0] <= 12 or case[0] in {"torus", "clos"}],
)
def test_the_known_half_is_the_worst_even_cut(family, parameters):
    network = build(family, **parameters, **LINK)
    if not network.half or network.num_hosts > 16:
        return
    assert len(network.half) == network.num_hosts // 2
    halves = list(_all_halves(network.num_hosts))[
        :: 1 if len(network.levels) < 1 else 7
    ]
    worst = min(cut_bandwidth(network, half) for half in halves)
    assert bisection(network).bandwidth <= worst * (1 + 1e-12)


def test_links_come_in_pairs_and_cannot_be_written():
    network = build("torus", shape=[3, 4], **LINK)
    assert np.array_equal(network.source[::2], network.target[1::2])
    assert np.array_equal(network.target[::2], network.source[1::2])
    assert network.link_name(0) == "host 0 → host 4"
    assert network.links_between(4, 0) == (1,)
    with pytest.raises(ValueError, match="read-only"):
        network.bandwidth[0] = 1.0


@pytest.mark.parametrize(
    ("oversubscription", "core", "expected"), [(1, 1, 1), (2, 1, 2), (2, 3, 6)]
)
def test_oversubscription_is_what_was_asked_for(oversubscription, core, expected):
    network = build(
        "clos",
        **CLOS,
        oversubscription=oversubscription,
        core_oversubscription=core,
        **LINK,
    )
    found = figures(network)
    assert found.oversubscription == pytest.approx(expected)
    half = network.num_hosts / 2 * LINK["bandwidth"]
    assert found.bisection_bandwidth == pytest.approx(half / expected)
    assert figures(build("ring", hosts=4, **LINK)).oversubscription is None


def test_random_graphs_are_connected_and_the_same_for_the_same_seed():
    sparse = {"hosts": 16, "probability": 0.15, **LINK}
    first, again = (build("random", seed=5, **sparse) for _ in range(2))
    other = build("random", seed=6, **sparse)
    assert np.array_equal(first.source, again.source)
    assert not np.array_equal(first.source, other.source)
    regular = build("random-regular", hosts=20, degree=3, seed=1, **LINK)
    assert np.all(np.bincount(regular.source) == 3)


def test_large_random_graphs_have_a_bound_that_says_so():
    network = build("random-regular", hosts=64, degree=4, **LINK)
    found = bisection(network)
    assert not found.is_exact
    assert found.method.startswith("upper bound")
    assert len(found.half) == 32
    assert cut_bandwidth(network, found.half) == found.bandwidth
    halves = cut_bandwidth(network, range(32))
    assert found.bandwidth < halves


def test_a_degraded_link_narrows_the_cut():
    ring = build("ring", hosts=8, **LINK)
    slow = ring.degraded({6: 0.5, 7: 0.5})
    assert bisection(slow).bandwidth == 1.5 * LINK["bandwidth"]
    assert bisection(slow).is_exact
    one_way = build("star", hosts=4, **LINK).degraded({0: 0.1})
    assert bisection(one_way).bandwidth == pytest.approx(1.1 * LINK["bandwidth"])


def test_dragonfly_groups_are_joined_two_by_two():
    network = build("dragonfly", a=4, h=2, p=2, g=9, **LINK)
    router = network.source >= network.num_hosts
    router &= network.target >= network.num_hosts
    groups = [
        (ends[router] - network.num_hosts) // 4
        for ends in (network.source, network.target)
    ]
    pairs = [pair for pair in zip(*groups, strict=True) if pair[0] != pair[1]]
    assert len(pairs) == len(set(pairs)) == 9 * 8
    ports = np.bincount(network.source, minlength=network.num_nodes)
    assert set(ports[network.num_hosts :].tolist()) == {2 + 3 + 2}


def test_the_table_describes_every_family():
    rows = describe()
    assert [row["name"] for row in rows] == list(FAMILIES)
    assert all(row["topology"] and row["parameters"] for row in rows)
    assert parameters_of("ring") == {"hosts": inspect.Parameter.empty}
    random = next(row for row in rows if row["name"] == "random")
    assert random["parameters"] == "hosts, probability, seed = 0"


@pytest.mark.parametrize(
    ("family", "parameters", "message"),
    [
        ("tours", {}, "did you mean 'torus'"),
        ("blob", {}, "one of ring, wheel"),
        ("ring", {"host": 3}, "it takes hosts"),
        ("ring", {}, "ring needs hosts"),
        ("ring", {"hosts": 1}, "at least 2"),
        ("wheel", {"hosts": 3}, "at least 4"),
        ("star", {"hosts": 1}, "at least 2"),
        ("full", {"hosts": 1}, "at least 2"),
        ("torus", {"shape": []}, "list such as"),
        ("mesh", {"shape": [0, 4]}, "list such as"),
        ("hypercube", {"dimension": 0}, "1 to 20"),
        ("fat-tree", {"k": 3}, "even"),
        ("clos", CLOS | {"pods": 0}, "pods = 0"),
        ("leaf-spine", {"leaves": 2, "hosts_per_leaf": 2, "spines": 0}, "spines = 0"),
        ("dragonfly", {"a": 2, "h": 1, "p": 1, "g": 4}, "at most a · h"),
        ("rail-optimized", RAILS | {"groups": 3}, "divides"),
        ("rail-optimized", RAILS | {"groups": 2, "spines": 0}, "meet on spines"),
        ("random", {"hosts": 1, "probability": 0.5}, "at least 2"),
        ("random", {"hosts": 5, "probability": 0.0}, "above 0"),
        ("random", {"hosts": 50, "probability": 0.001}, "none of 100 samples"),
        ("random-regular", {"hosts": 5, "degree": 3}, "even"),
    ],
)
def test_what_makes_no_network_is_refused(family, parameters, message):
    with pytest.raises(GraphError, match=message):
        build(family, **parameters, **LINK)


@pytest.mark.parametrize(
    ("bandwidth", "latency"), [(0.0, 0.0), (math.inf, 0.0), (1.0, -1.0)]
)
def test_impossible_links_are_refused(bandwidth, latency):
    with pytest.raises(GraphError, match="of a link"):
        build("ring", hosts=4, bandwidth=bandwidth, latency=latency)


@pytest.mark.parametrize("factors", [{0: 0.0}, {99: 0.5}])
def test_impossible_degradation_is_refused(factors):
    with pytest.raises(GraphError, match="link"):
        build("ring", hosts=4, **LINK).degraded(factors)
