"""Every family can be drawn, the same each time, with its loads as colour."""

import numpy as np
import pytest

from simulator.api import simulate
from simulator.plan import Plan
from simulator.plot import NoNetwork, plot_network
from simulator.plot.network import draw, positions
from simulator.results.links import utilization
from topologies.graphs import build, routes

LINK = {"bandwidth": 12.5e9, "latency": 5e-7}
FAMILIES = [
    ("ring", {"hosts": 8}),
    ("wheel", {"hosts": 9}),
    ("random-regular", {"hosts": 80, "degree": 3}),
    ("torus", {"shape": [4, 4]}),
    ("torus", {"shape": [3, 3, 3]}),
    ("fat-tree", {"k": 4}),
    ("dragonfly", {"a": 2, "h": 1, "p": 1, "g": 3}),
]


@pytest.mark.parametrize(("family", "parameters"), FAMILIES)
@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_same_network_gives_the_same_bytes(tmp_path, family, parameters, suffix):
    network = build(family, **parameters, **LINK)
    load = routes(network, [(0, 1), (2, 0)]).loads(1.0, network.num_links)
    paths = [tmp_path / f"{name}.{suffix}" for name in "ab"]
    for path in paths:
        draw(network, load, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize(("family", "parameters"), FAMILIES)
def test_no_two_nodes_are_in_one_place(family, parameters):
    network = build(family, **parameters, **LINK)
    places = np.round(positions(network), 6)
    assert places.shape == (network.num_nodes, 2)
    assert len(np.unique(places, axis=0)) == network.num_nodes


def test_without_loads_there_is_no_scale():
    network = build("ring", hosts=4, **LINK)
    assert len(draw(network).axes) == 1
    assert len(draw(network, np.zeros(8)).axes) == 2


def test_what_cannot_be_drawn_is_refused(tmp_path):
    network = build("ring", hosts=4, **LINK)
    with pytest.raises(ValueError, match=r"\.svg or \.png"):
        draw(network, path=tmp_path / "net.gif")
    with pytest.raises(ValueError, match="8 links"):
        draw(network, [1.0])


PLAN = {
    "model": {"name": "alexnet"},
    "batch": {"global": 16, "micro": 1},
    "cluster": {
        "device": "a100-sxm4-80gb",
        "nodes": 16,
        "network": {"link": "ethernet-10"},
    },
}


@pytest.mark.parametrize("family", ["ring", "torus", "star", "fat-tree", "random"])
def test_the_network_of_a_plan_is_drawn_with_its_load(tmp_path, family):
    plan = Plan.from_mapping(PLAN, {"cluster.network.topology": family})
    path = tmp_path / "network.svg"
    figure = plot_network(plan, path)
    assert "around a ring" in figure.axes[1].get_ylabel()
    assert path.stat().st_size > 0


def test_utilization_of_inner_links_is_left_out_of_the_drawing():
    plan = Plan.from_mapping(PLAN, {"cluster.network.topology": "ring"})
    figure = plot_network(plan, utilization=np.linspace(0, 0.5, 100))
    assert "utilization" in figure.axes[1].get_ylabel()


def test_a_network_that_is_cut_is_drawn_without_load():
    changes = {"topology": "star", "failed": [["host 3", "switch 0"]]}
    plan = Plan.from_mapping(
        PLAN, {f"cluster.network.{key}": value for key, value in changes.items()}
    )
    assert len(plot_network(plan).axes) == 1


def test_a_plan_without_a_graph_has_nothing_to_draw():
    with pytest.raises(NoNetwork, match=r"try --set cluster\.network\.topology=star"):
        plot_network(Plan.from_mapping(PLAN))
    changes = {"cluster.nodes": 1, "cluster.network.topology": "ring"}
    with pytest.raises(NoNetwork, match=r"one node.*cluster\.node\.topology"):
        plot_network(Plan.from_mapping(PLAN, changes))


def one_node():
    cluster = {
        "device": "v100-sxm2-16gb",
        "devices_per_node": 8,
        "fabric": "nvlink-2",
        "node": {"topology": "hybrid-cube-mesh", "pcie": "pcie-3-x16"},
    }
    batch, training = {"global": 8, "micro": 1}, {"precision": "fp32"}
    tables = {"cluster": cluster, "batch": batch, "training": training}
    return Plan.from_mapping(PLAN | tables)


def test_the_inside_of_a_plans_only_node_is_drawn(tmp_path):
    path = tmp_path / "node.svg"
    plan = one_node()
    assert "that a device sends" in plot_network(plan).axes[1].get_ylabel()
    result = simulate(plan)
    figure = plot_network(plan, path, utilization=utilization(result))
    assert figure.axes[0].get_title(loc="left") == "hybrid-cube-mesh of 8"
    assert "utilization over the step" in figure.axes[1].get_ylabel()
    assert figure.axes[1].get_ylim()[1] == pytest.approx(utilization(result).max())
    assert "PCIe switch 0" in path.read_text("utf-8")
