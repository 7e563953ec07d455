"""Routes: shortest paths in equal parts, whole paths, and ways round failures."""

from collections import defaultdict
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest

from topologies.graphs import CutError, GraphError, build, routes
from topologies.graphs.routes import Routes

LINK = {"bandwidth": 12.5e9, "latency": 5e-7}
RAILS = {"servers": 4, "rails": 2, "spines": 2}
RAILS |= {"fabric_bandwidth": 9e11, "fabric_latency": 1e-7}
FAMILIES = [
    ("ring", {"hosts": 6}),
    ("wheel", {"hosts": 7}),
    ("random", {"hosts": 9, "probability": 0.35}),
    ("torus", {"shape": [4, 4]}),
    ("hypercube", {"dimension": 3}),
    ("fat-tree", {"k": 4}),
    ("leaf-spine", {"leaves": 3, "hosts_per_leaf": 2, "spines": 2}),
    ("rail-optimized", RAILS),
    ("dragonfly", {"a": 2, "h": 1, "p": 2, "g": 3}),
]
each_family = pytest.mark.parametrize(("family", "parameters"), FAMILIES)


def all_pairs(network):
    hosts = range(network.num_hosts)
    return [(a, b) for a in hosts for b in hosts]


def fractions_by_networkx(network, a, b):
    """Equal parts for every shortest path, path by path."""
    ends = zip(network.source.tolist(), network.target.tolist(), strict=True)
    graph = nx.DiGraph(ends)
    paths = list(nx.all_shortest_paths(graph, a, b))
    shares = defaultdict(float)
    for path in paths:
        for hop in pairwise(path):
            shares[network.links_between(*hop)[0]] += 1 / len(paths)
    return dict(shares)


def shares_of(found: Routes, pair):
    links, shares = found.of(pair)
    return dict(zip(links.tolist(), shares.tolist(), strict=True))


def balance(network, found, pair):
    """What flows out of each node less what flows in."""
    links, shares = found.of(pair)
    out = np.bincount(network.source[links], shares, network.num_nodes)
    return out - np.bincount(network.target[links], shares, network.num_nodes)


@each_family
def test_split_is_even_over_all_shortest_paths(family, parameters):
    network = build(family, **parameters, **LINK)
    pairs = all_pairs(network)
    found = routes(network, pairs)
    for pair, (a, b) in enumerate(pairs):
        expected = fractions_by_networkx(network, a, b) if a != b else {}
        assert shares_of(found, pair) == pytest.approx(expected, rel=1e-12)


@each_family
@pytest.mark.parametrize("spread", ["one", "split", "hashed"])
def test_everything_sent_arrives(family, parameters, spread):
    network = build(family, **parameters, **LINK)
    pairs = all_pairs(network)
    found = routes(network, pairs, spread=spread, seed=3)
    for pair, (a, b) in enumerate(pairs):
        expected = np.zeros(network.num_nodes)
        expected[a] += 1
        expected[b] -= 1
        assert balance(network, found, pair) == pytest.approx(expected, abs=1e-12)


@each_family
@pytest.mark.parametrize("spread", ["one", "hashed"])
def test_a_single_path_is_one_of_the_shortest(family, parameters, spread):
    network = build(family, **parameters, **LINK)
    pairs = all_pairs(network)
    split, found = routes(network, pairs), routes(network, pairs, spread=spread)
    for pair in range(len(pairs)):
        links, shares = found.of(pair)
        assert np.all(shares == 1)
        assert set(links) <= set(split.of(pair)[0])
        assert len(links) == pytest.approx(split.of(pair)[1].sum())


def test_among_equal_hops_the_least_latency_is_taken():
    rails = build("rail-optimized", **RAILS, **LINK)
    links, _ = routes(rails, [(0, 3)], spread="one").of(0)
    # Two links inside a server and two of the rail, rather than over a spine.
    assert sorted(rails.latency[links]) == [1e-7, 1e-7, 5e-7, 5e-7]
    assert routes(rails, [(0, 3)], spread="one").latency == pytest.approx(1.2e-6)


def test_hashes_depend_on_the_seed_and_use_all_paths():
    network = build("fat-tree", k=8, **LINK)
    pairs = [(host, 127 - host) for host in range(64)]
    first, again = (routes(network, pairs, spread="hashed", seed=1) for _ in range(2))
    assert np.array_equal(first.link, again.link)
    other = routes(network, pairs, spread="hashed", seed=2)
    assert not np.array_equal(first.link, other.link)
    cores = set(network.target[first.link]) & set(range(192, 208))
    assert len(cores) > 8


@pytest.mark.parametrize("spread", ["one", "split", "hashed"])
def test_up_down_is_shortest_on_a_whole_tree(spread):
    network = build("fat-tree", k=4, **LINK)
    pairs = all_pairs(network)
    climbing = routes(network, pairs, paths="up-down", spread=spread)
    shortest = routes(network, pairs, spread=spread)
    assert np.array_equal(climbing.start, shortest.start)
    if spread != "hashed":
        assert np.array_equal(climbing.link, shortest.link)
        assert climbing.fraction == pytest.approx(shortest.fraction, rel=1e-12)


def test_up_down_never_climbs_again():
    network = build("leaf-spine", leaves=3, hosts_per_leaf=1, spines=2, **LINK)
    leaf, spine = 3, 6
    # Leaf 0 keeps spine 0 only, leaf 1 spine 1 only: their way is over leaf 2.
    failed = [
        *(network.links_between(leaf, spine + 1) + network.links_between(7, leaf)),
        *(network.links_between(leaf + 1, spine) + network.links_between(6, leaf + 1)),
    ]
    links, _ = routes(network, [(0, 1)], failed=failed, spread="one").of(0)
    assert len(links) == 6
    with pytest.raises(CutError, match="host 0 cannot reach host 1 over") as caught:
        routes(network, [(0, 1)], paths="up-down", failed=failed)
    assert caught.value.separated == (0,)


def test_a_failed_link_is_gone_round_or_cuts():
    network = build("ring", hosts=6, **LINK)
    there = network.links_between(0, 1)
    links, _ = routes(network, [(0, 1)], failed=there).of(0)
    assert len(links) == 5
    both = {*there, there[0] ^ 1}
    across = network.links_between(2, 3)
    both |= {*across, across[0] ^ 1}
    with pytest.raises(CutError, match=r"host 1, host 2 cannot reach") as caught:
        routes(network, [(0, 1)], failed=both)
    assert caught.value.separated == (1, 2)
    # Pairs on one side of the cut still have their route.
    assert len(routes(network, [(1, 2), (0, 4)], failed=both).link) == 3


@pytest.mark.parametrize(
    ("family", "parameters"),
    [
        ("torus", {"shape": [4, 5]}),
        ("torus", {"shape": [2, 3, 4]}),
        ("mesh", {"shape": [3, 4]}),
        ("hypercube", {"dimension": 4}),
    ],
)
def test_dimension_order_is_a_shortest_path_dimension_by_dimension(family, parameters):
    network = build(family, **parameters, **LINK)
    pairs = all_pairs(network)
    found = routes(network, pairs, paths="dimension-order")
    shortest = routes(network, pairs, spread="one")
    assert np.array_equal(found.start, shortest.start)
    place = np.stack(np.unravel_index(np.arange(network.num_hosts), network.shape), 1)
    for pair, (a, _) in enumerate(pairs):
        links = list(found.of(pair)[0])
        node, axes = a, []
        while links:
            (link,) = (each for each in links if network.source[each] == node)
            links.remove(link)
            after = network.target[link]
            axes.append(int(np.flatnonzero(place[node] != place[after])[0]))
            node = after
        assert axes == sorted(axes)


def test_dimension_order_goes_round_a_failed_link():
    network = build("torus", shape=[4, 4], **LINK)
    failed = network.links_between(0, 1)
    found = routes(network, [(0, 1), (0, 4)], paths="dimension-order", failed=failed)
    assert np.diff(found.start).tolist() == [3, 1]


def test_loads_are_sums_over_pairs():
    network = build("star", hosts=4, **LINK)
    found = routes(network, [(0, 3), (1, 3), (2, 2)])
    load = found.loads([1.0, 2.0, 4.0], network.num_links)
    assert load[network.links_between(4, 3)[0]] == 3.0
    assert load.sum() == 6.0
    assert found.latency.tolist() == [1e-6, 1e-6, 0.0]


@pytest.mark.parametrize(
    ("pairs", "options", "message"),
    [
        ([(0, 9)], {}, "hosts are 0 … 3"),
        ([(0, 1)], {"failed": [99]}, "links are 0 … 7"),
        ([(0, 1)], {"paths": "up-down"}, "no tiers"),
        ([(0, 1)], {"paths": "longest"}, "there are shortest"),
        ([(0, 1)], {"spread": "most"}, "one, split, hashed"),
    ],
)
def test_routes_that_make_no_sense_are_refused(pairs, options, message):
    network = build("ring", hosts=4, **LINK)
    with pytest.raises(GraphError, match=message):
        routes(network, pairs, **options)


def test_only_grids_have_dimensions():
    network = build("ring", hosts=4, **LINK)
    with pytest.raises(GraphError, match="no grid"):
        routes(network, [(0, 1)], paths="dimension-order")
