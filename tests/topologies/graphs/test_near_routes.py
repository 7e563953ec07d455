"""Pairs that are near get the routes that a search would give them."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topologies.graphs import CutError, build, routes
from topologies.graphs.network import Cable, wired

LINK = {"bandwidth": 12.5e9, "latency": 5e-7}
MODULE = sys.modules["topologies.graphs.routes"]
laws = settings(derandomize=True, deadline=None, max_examples=100, database=None)


def nothing_near(graph, start, end, receiver, **options):
    return np.zeros(len(start), bool), []


def both(network, pairs, **options):
    """Routes as they are, and with every pair searched for."""
    found = routes(network, pairs, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MODULE, "near_steps", nothing_near)
        return found, routes(network, pairs, **options)


def check_same(found, expected):
    assert np.array_equal(found.start, expected.start)
    assert np.array_equal(found.link, expected.link)
    assert found.fraction == pytest.approx(expected.fraction, rel=1e-15)
    assert found.latency == pytest.approx(expected.latency, rel=1e-14)


def all_pairs(network):
    hosts = range(network.num_hosts)
    return [(a, b) for a in hosts for b in hosts]


@st.composite
def tangles(draw):
    """Hosts and switches with parallel cables of different latency."""
    hosts, switches = draw(st.integers(2, 5)), draw(st.integers(1, 3))
    node = st.integers(0, hosts + switches - 1)
    pairs = st.tuples(node, node).filter(lambda ends: ends[0] != ends[1])
    ends = draw(st.lists(pairs, min_size=1, max_size=14))
    ends += [(host, hosts) for host in range(hosts)]
    delay = st.sampled_from([1e-7, 2e-7, 3e-7])
    cables = [Cable(a, b, 1e9, draw(delay)) for a, b in ends]
    levels = [0] * hosts + draw(st.permutations(range(1, switches + 1)))
    return wired("tangle", hosts, cables, levels=levels)


@given(
    tangles(),
    st.sampled_from(["one", "split", "hashed"]),
    st.sampled_from(["shortest", "up-down"]),
    st.sets(st.integers(0, 3)),
)
@laws
def test_near_pairs_have_the_routes_of_a_search(network, spread, paths, failed):
    options = {"spread": spread, "paths": paths, "seed": 5}
    options["failed"] = [link for link in failed if link < network.num_links]
    try:
        found, expected = both(network, all_pairs(network), **options)
    except CutError:
        return
    check_same(found, expected)


@pytest.mark.parametrize("spread", ["one", "split", "hashed"])
@pytest.mark.parametrize("paths", ["shortest", "up-down"])
def test_a_route_does_not_depend_on_what_else_is_asked_for(spread, paths):
    network = build("fat-tree", k=6, **LINK)
    rng = np.random.default_rng(1)
    pairs = rng.integers(0, network.num_hosts, (200, 2))
    found = routes(network, pairs, spread=spread, paths=paths, seed=2)
    for pair in (0, 57, 199):
        alone = routes(network, pairs[[pair]], spread=spread, paths=paths, seed=2)
        links, fractions = found.of(pair)
        assert links.tolist() == alone.link.tolist()
        assert fractions == pytest.approx(alone.fraction, rel=1e-15)


def test_lists_of_paths_are_cut_to_bound_memory(monkeypatch):
    network = build("leaf-spine", leaves=3, hosts_per_leaf=4, spines=3, **LINK)
    expected = routes(network, all_pairs(network))
    monkeypatch.setattr("topologies.graphs.near._MAX_PATHS", 2)
    check_same(routes(network, all_pairs(network)), expected)
