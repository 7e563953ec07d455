"""Networks from NetworkX files, and what is said of files that are none."""

import json

import networkx as nx
import numpy as np
import pytest

from topologies.graphs import GraphError, build, figures

LINK = {"bandwidth": 12.5e9, "latency": 5e-7}


def star():
    graph = nx.Graph()
    graph.add_node("tor", kind="switch")
    for host in ("a", "b", "c"):
        graph.add_node(host)
        graph.add_edge(host, "tor")
    graph.edges["a", "tor"].update(bandwidth="10 Gbit/s", latency="2 us")
    return graph


def write(path, graph, edges="edges"):
    if path.suffix == ".json":
        path.write_text(json.dumps(nx.node_link_data(graph, edges=edges)))
    else:
        nx.write_graphml(graph, path)


@pytest.mark.parametrize("name", ["net.json", "net.graphml"])
@pytest.mark.parametrize("edges", ["edges", "links"])
def test_files_of_networkx_are_read(tmp_path, name, edges):
    write(tmp_path / name, star(), edges)
    network = build("file", path=str(tmp_path / name), **LINK)
    assert network.labels == ("a", "b", "c", "tor")
    assert (network.num_hosts, network.num_switches) == (3, 1)
    assert figures(network).diameter == 2
    (link,) = network.links_between(0, 3)
    assert (network.bandwidth[link], network.latency[link]) == (1.25e9, 2e-6)
    (link,) = network.links_between(3, 1)
    assert (network.bandwidth[link], network.latency[link]) == (12.5e9, 5e-7)


@pytest.mark.parametrize("name", ["net.json", "net.graphml"])
def test_directed_links_may_differ_both_ways(tmp_path, name):
    graph = nx.DiGraph()
    graph.add_edge("a", "b", bandwidth="1 GB/s")
    graph.add_edge("b", "a", bandwidth="2 GB/s")
    write(tmp_path / name, graph)
    network = build("file", path=tmp_path / name, **LINK)
    assert network.num_links == 2
    assert network.bandwidth[network.links_between(0, 1)[0]] == 1e9
    assert network.bandwidth[network.links_between(1, 0)[0]] == 2e9
    assert np.all(network.latency == 5e-7)


def nodes(*names):
    return [{"id": name} for name in names]


def edge(a, b, **more):
    return {"source": a, "target": b, **more}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "Expecting"),
        ("[]", "no list 'nodes'"),
        ({"nodes": []}, "no list 'edges'"),
        ({"nodes": [{}], "edges": []}, "lacks id"),
        ({"nodes": nodes("a"), "edges": [{"source": "a"}]}, "lacks source or target"),
        ({"nodes": nodes("a", "a"), "edges": []}, "same id"),
        ({"nodes": nodes("a", "b"), "edges": []}, "not all nodes are connected"),
        ({"nodes": [], "edges": []}, "not all nodes are connected"),
        ({"nodes": nodes("a"), "edges": [edge("a", "b")]}, "no node 'b'"),
        ({"nodes": nodes("a"), "edges": [edge("a", "a")]}, "to itself"),
        ({"nodes": [{"id": "a", "kind": "hub"}], "edges": []}, "'hub' is not host"),
        (
            {"nodes": nodes("a", "b"), "edges": [edge("a", "b", bandwidth=10)]},
            "'a' – 'b': bandwidth: ",
        ),
        (
            {"nodes": nodes("a", "b"), "edges": [edge("a", "b", bandwidth="1 Gb/s")]},
            "bits or bytes",
        ),
        (
            {"directed": True, "nodes": nodes("a", "b"), "edges": [edge("a", "b")]},
            "no way back",
        ),
        (
            {
                "nodes": [{"id": "s", "kind": "switch"}],
                "edges": [],
            },
            "at least 1",
        ),
    ],
)
def test_json_that_is_no_network_is_refused(tmp_path, content, message):
    path = tmp_path / "net.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(GraphError, match=message) as caught:
        build("file", path=path, **LINK)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("net.txt", "", r"\.json or \.graphml"),
        ("net.graphml", "<", "unclosed token|no element"),
        ("net.graphml", "<a/>", "not successfully read|file not"),
    ],
)
def test_other_files_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(GraphError, match=message):
        build("file", path=tmp_path / name, **LINK)


@pytest.mark.parametrize("name", ["net.json", "net.graphml"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Kind": "switch"}, "node 'a': unknown attribute 'Kind', did you mean 'kind'"),
        ({"bandwith": "1 GB/s"}, "'bandwith', did you mean 'bandwidth'"),
        ({"latencies": "1 us"}, "edge 'tor' – 'a': .*, did you mean 'latency'"),
    ],
)
def test_misspelt_attributes_are_refused(tmp_path, name, change, message):
    graph = star()
    (graph.nodes["a"] if "Kind" in change else graph.edges["tor", "a"]).update(change)
    write(tmp_path / name, graph)
    with pytest.raises(GraphError, match=message) as caught:
        build("file", path=tmp_path / name, **LINK)
    assert str(caught.value).startswith(str(tmp_path / name))


def test_other_attributes_may_be_there(tmp_path):
    graph = star()
    graph.nodes["a"].update(rack="r1", type="server")
    graph.edges["a", "tor"].update(weight=2, width=3, colour="red")
    write(tmp_path / "net.json", graph)
    assert build("file", path=tmp_path / "net.json", **LINK).num_hosts == 3


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(GraphError, match=r"gone\.json: No such file"):
        build("file", path=tmp_path / "gone.json", **LINK)
