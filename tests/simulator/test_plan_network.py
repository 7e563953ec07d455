"""The network of a plan: its keys, what follows from the nodes, and its graph."""

import inspect
import json
import tomllib
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import PlanError
from simulator.plan import Plan
from simulator.plans.background import other_job
from simulator.plans.network_fields import Multipath, NodeTopology, Routing, Topology
from simulator.plans.network_records import NetworkSection, NodeSection
from simulator.plans.node_checks import order_faults
from simulator.plans.shapes import FROM_CLUSTER, RENAMED, suggestion
from simulator.plans.wiring import (
    Rates,
    build_machine,
    build_wiring,
    has_graph,
    links_of,
    sheet_rates,
)
from simulator.reporting.notes import (
    adapter_notes,
    algorithm_notes,
    link_notes,
    topology_notes,
)
from topologies.graphs.families import (
    FAMILIES,
    NODES,
    node_parameters_of,
    parameters_of,
)
from topologies.graphs.routes import Paths
from topologies.graphs.walking import Spread

ALONE = "the plan has one node, and nothing leaves it"
RATES = Rates(network=4.0, fabric=16.0)
EXAMPLES = {
    "ring": {},
    "wheel": {},
    "random": {"probability": 0.5, "seed": 3},
    "random-regular": {"degree": 4},
    "star": {},
    "full": {},
    "torus": {"shape": [2, 8]},
    "mesh": {"shape": [4, 2, 2]},
    "hypercube": {"dimension": 4},
    "fat-tree": {"k": 6},
    "leaf-spine": {"leaves": 4, "spines": 2, "oversubscription": 2},
    "clos": {
        "pods": 2,
        "leaves_per_pod": 2,
        "spines_per_pod": 2,
        "cores_per_spine": 2,
        "core_oversubscription": 1.5,
    },
    "rail-optimized": {"spines": 2},
    "dragonfly": {"a": 4, "h": 2, "p": 2, "g": 9},
}


def small(nodes=16, devices=1, **network):
    """A plan of data parallelism over a network; other tables by dotted key."""
    cluster = {"device": "a100-sxm4-80gb", "nodes": nodes, "devices_per_node": devices}
    if devices > 1:
        cluster["fabric"] = "nvlink-3"
    return {
        "model": {"name": "alexnet"},
        "batch": {"global": nodes * devices, "micro": 1},
        "synchronization": {"algorithm": "ring"},
        "cluster": {**cluster, "network": {"link": "ethernet-10", **network}},
    }


def plan(nodes=16, devices=1, overrides=None, **network):
    return Plan.from_mapping(small(nodes, devices, **network), overrides)


# -- names and keys --------------------------------------------------------------------


def test_a_plan_may_name_every_family_and_the_switch():
    assert set(get_args(Topology)) == {"switch", *FAMILIES}
    assert set(get_args(NodeTopology)) == set(NODES)
    assert get_args(Routing) == get_args(Paths)
    assert set(get_args(Multipath)) == set(get_args(Spread))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_of_a_family_is_a_key(family):
    names = {RENAMED.get(name, name) for name in parameters_of(family)}
    assert names - set(FROM_CLUSTER) <= set(NetworkSection.model_fields)


@pytest.mark.parametrize("kind", NODES)
def test_every_parameter_of_a_node_is_a_key(kind):
    names = {n.removesuffix("_bandwidth") for n in node_parameters_of(kind)}
    names = {n for n in names if not n.endswith("_latency")}
    assert names <= set(NodeSection.model_fields)


@pytest.mark.parametrize("family", EXAMPLES)
def test_a_family_in_a_plan_is_a_graph_with_room_for_its_nodes(family):
    made = plan(topology=family, **EXAMPLES[family])
    wiring = build_wiring(made.cluster, RATES)
    assert wiring.num_endpoints >= 16
    assert wiring.routes([(0, 15)]).latency[0] == 0


@pytest.mark.parametrize("family", EXAMPLES)
def test_a_network_survives_dump_and_replace(family):
    made = plan(topology=family, **EXAMPLES[family])
    again = Plan.from_mapping(tomllib.loads(made.dump()))
    assert again == made
    assert again.content_hash == made.content_hash
    assert made.replace({"title": ""}).cluster == made.cluster


def test_everything_about_a_network_survives_the_dump():
    made = plan(
        topology="star",
        hop_latency="500 ns",
        routing="shortest",
        multipath="hashed",
        failed=[["host 3", "switch 0"]],
        degraded=[
            {"link": ["host 1", 16], "factor": 0.5},
            {"link": ["node 2", "switch 0"], "factor": 0.25},
        ],
        overrides={
            "cluster.background": [
                {"from": 0, "to": 5, "rate": "5 Gbit/s"},
                {"from": 1, "to": 2, "size": "1 GB", "period": "100 ms"},
            ],
            "cluster.node": {"topology": "switch", "pcie": "pcie-3-x16"},
            "synchronization.ring_order": [*range(15, -1, -1)],
        },
    )
    text = made.dump()
    again = Plan.from_mapping(tomllib.loads(text))
    assert again == made
    assert again.dump() == text
    assert text.count("[[cluster.background]]") == 2
    assert text.count("[[cluster.network.degraded]]") == 2


# -- what follows from the nodes -------------------------------------------------------

FOLLOWING = ("ring", "random", "star", "full", "torus", "mesh", "fat-tree")


@given(family=st.sampled_from(FOLLOWING), nodes=st.integers(2, 200))
def test_one_plan_scales_over_nodes_and_over_families(family, nodes):
    made = plan(nodes, topology=family)
    assert build_wiring(made.cluster, RATES).num_endpoints >= nodes


@pytest.mark.parametrize("family", ["leaf-spine", "clos", "dragonfly"])
@pytest.mark.parametrize("nodes", [2, 7, 16, 100])
def test_what_is_suggested_for_a_missing_parameter_fits(family, nodes):
    needed = [
        name
        for name, default in parameters_of(family).items()
        if default is inspect.Parameter.empty and name != "hosts_per_leaf"
    ]
    lines = "\n".join(suggestion(family, name, nodes) for name in needed)
    made = plan(nodes, topology=family, **tomllib.loads(lines))
    assert build_wiring(made.cluster, RATES).num_endpoints >= nodes


def test_a_degree_makes_a_random_graph_regular():
    network = build_wiring(plan(topology="random", degree=4).cluster, RATES).network
    assert set(np.bincount(network.source)) == {4}


@pytest.mark.parametrize("family", ["ring", "wheel", "random", "torus", "fat-tree"])
def test_one_node_has_no_graph_whatever_its_plan_says(family):
    made = plan(1, topology=family)
    assert not has_graph(made.cluster)
    assert build_machine(made.cluster) is None
    assert topology_notes(made) == [f'the topology "{family}" cannot matter: {ALONE}']


# -- graphs ----------------------------------------------------------------------------


def test_a_link_is_as_wide_as_the_adapters_of_its_node():
    made = plan(topology="ring", adapters_per_node=2)
    width = build_wiring(made.cluster, RATES).bandwidth
    assert set(width) == {8.0}
    sheet = sheet_rates(made.cluster).network
    assert set(build_wiring(made.cluster).bandwidth) == {2 * sheet}


def test_every_link_adds_its_latency():
    made = plan(topology="ring", hop_latency="1 us")
    latency = build_wiring(made.cluster, RATES).routes([(0, 1), (0, 4)]).latency
    assert latency == pytest.approx([1e-6, 4e-6])


def test_a_degraded_cable_is_slow_both_ways():
    made = plan(topology="ring", degraded=[{"link": ["host 3", 4], "factor": 0.25}])
    wiring = build_wiring(made.cluster, RATES)
    slow = links_of(wiring.network, (3, 4))
    assert len(slow) == 2
    assert np.flatnonzero(wiring.bandwidth == 1.0).tolist() == sorted(slow)


def test_a_failed_cable_is_gone_around():
    made = plan(topology="ring", failed=[["node 0", "node 1"]])
    routes = build_wiring(made.cluster, RATES).routes([(0, 1), (1, 0)])
    assert np.diff(routes.start).tolist() == [15, 15]


@pytest.mark.parametrize("topology", ["switch", "ring"])
def test_endpoints_of_a_machine_are_devices(topology):
    inside = {"cluster.node": {"topology": "full", "pcie": "pcie-3-x16"}}
    made = plan(4, devices=8, topology=topology, overrides=inside)
    machine = build_machine(made.cluster, RATES)
    assert machine.num_endpoints == 32
    assert machine.routes([(0, 31), (0, 1)]).start[-1] > 0


def test_on_rails_the_hosts_are_devices():
    made = plan(4, devices=8, topology="rail-optimized", spines=2)
    machine = build_machine(made.cluster, RATES)
    assert machine.num_endpoints == 32
    assert machine.bandwidth.max() == 16.0


def test_a_node_of_a_direct_network_has_ports_for_all_of_its_cables():
    made = plan(4, devices=2, topology="ring")
    machine = build_machine(made.cluster, RATES)
    pairs = [(0, 2), (0, 6)]  # both neighbours at once
    loads = machine.routes(pairs).loads(RATES.network, len(machine.bandwidth))
    assert (loads <= machine.bandwidth).all()


# -- files and other jobs --------------------------------------------------------------


def graph_of(hosts):
    nodes = [{"id": f"h{host}"} for host in range(hosts)]
    edges = [{"source": f"h{h}", "target": f"h{h + 1}"} for h in range(hosts - 1)]
    return json.dumps({"nodes": nodes, "edges": edges})


def written(folder, mapping, name="plan.toml"):
    (folder / name).write_text(Plan.from_mapping(mapping).dump(), "utf-8")
    return folder / name


def test_a_file_is_found_beside_the_plan(tmp_path, monkeypatch):
    path = written(tmp_path, small(4, topology="ring"))
    text = path.read_text("utf-8")
    text = text.replace('"ring"\nlink', '"file"\nfile = "line.json"\nlink')
    path.write_text(text, "utf-8")
    (tmp_path / "line.json").write_text(graph_of(4), "utf-8")
    monkeypatch.chdir("/")
    made = Plan.load(path)
    network = build_wiring(made.cluster, RATES).network
    assert (network.num_hosts, network.num_links) == (4, 6)
    before = made.content_hash
    assert Plan.from_mapping(tomllib.loads(made.dump())).content_hash == before
    (tmp_path / "line.json").write_text(graph_of(5), "utf-8")
    assert Plan.load(path).content_hash != before
    assert build_wiring(made.cluster, RATES).network.num_hosts == 5
    (tmp_path / "line.json").write_text(graph_of(3), "utf-8")
    with pytest.raises(PlanError, match="has 3 hosts, but the plan has 4 nodes"):
        Plan.load(path)


def test_another_job_is_a_plan_beside_the_plan(tmp_path):
    other = written(tmp_path, small(4), "other.toml")
    path = written(tmp_path, small(8, topology="fat-tree", k=4))
    job = '\n[[cluster.background]]\nplan = "other.toml"\nfirst_node = 12\n'
    path.write_text(path.read_text("utf-8") + job, "utf-8")
    made = Plan.load(path)
    (traffic,) = made.cluster.background
    assert other_job(traffic).cluster.nodes == 4
    with pytest.raises(PlanError, match=r"13 \+ 4 nodes = 17, the network has 16"):
        Plan.load(path, [f"cluster.background=[{{plan='{other}', first_node=13}}]"])


def jobs(folder, *first_nodes, nodes=16):
    """A plan of 8 nodes on a fat tree of 16, beside jobs of 2 nodes."""
    other = written(folder, small(2), "other.toml")
    mapping = small(nodes // 2, topology="fat-tree", k=4)
    mapping["cluster"]["background"] = [
        {"plan": str(other)} | ({} if node is None else {"first_node": node})
        for node in first_nodes
    ]
    return mapping


@pytest.mark.parametrize(
    ("first_nodes", "message"),
    [
        ([6], r"nodes 6-7 are this plan's own; first_node = 8"),
        ([7], r"node 7 is this plan's own; first_node = 8"),
        ([None], r"first_node: is missing; add first_node = 8"),
        ([8, 9], r"node 9 is one of 'other.toml'; first_node = 10"),
        ([8, 10, 10], r"nodes 10-11 are those of 'other.toml'; first_node = 12"),
    ],
)
def test_jobs_do_not_sit_on_the_same_nodes(tmp_path, first_nodes, message):
    with pytest.raises(PlanError, match=message):
        Plan.from_mapping(jobs(tmp_path, *first_nodes))


def test_where_no_nodes_are_free_another_job_needs_a_larger_network(tmp_path):
    with pytest.raises(PlanError, match=r"is missing; a larger network"):
        Plan.from_mapping(jobs(tmp_path, None, nodes=32))


def test_pulses_closer_than_anything_is_timed_are_a_steady_flow():
    mapping = small(4, topology="ring")
    pulse = {"from": 0, "to": 1, "size": "1 MB", "period": "10 us"}
    mapping["cluster"]["background"] = [pulse]
    assert Plan.from_mapping(mapping)
    mapping["cluster"]["background"] = [pulse | {"period": "1 us"}]
    message = r'period: as good as a steady flow; rate = "1.00 TB/s"'
    with pytest.raises(PlanError, match=message):
        Plan.from_mapping(mapping)


# -- orders ----------------------------------------------------------------------------


@given(order=st.integers(1, 40).flatmap(lambda n: st.permutations(range(n))))
def test_every_permutation_is_an_order(order):
    assert list(order_faults(tuple(order), len(order))) == []


@given(
    order=st.lists(st.integers(0, 12), min_size=1, max_size=12),
    nodes=st.integers(1, 12),
)
def test_whatever_is_no_permutation_has_a_fault(order, nodes):
    is_whole = sorted(order) == list(range(nodes))
    assert (not list(order_faults(tuple(order), nodes))) == is_whole


# -- notes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (plan, ""),
        (lambda: plan(topology="random"), ""),
        (lambda: plan(topology="leaf-spine", leaves=4, spines=2), "links of its own"),
        (
            lambda: plan(
                topology="leaf-spine", hosts_per_leaf=1, leaves=16, spines=2,
                oversubscription=2,
            ),
            "",
        ),
        (lambda: plan(topology="ring"), "links of its own"),
        (lambda: plan(topology="ring", hop_latency="1 us"), ""),
        (
            lambda: plan(
                topology="ring",
                overrides={
                    "synchronization.ring_order": [*range(0, 16, 2), *range(1, 16, 2)]
                },
            ),
            "",
        ),
        (lambda: plan(2, topology="star"), "one pair that communicates"),
        (lambda: plan(multipath="one"), "cluster.network.multipath changes nothing"),
        (
            lambda: plan(overrides={"synchronization.ring_order": [*range(16)]}),
            "synchronization.ring_order changes nothing",
        ),
    ],
)  # fmt: skip
def test_it_is_said_why_a_topology_cannot_matter(made, said):
    notes = topology_notes(made())
    assert len(notes) == bool(said)
    assert said in "".join(notes)


def test_one_adapter_for_many_devices_is_said_unless_it_was_asked_for():
    large = Plan.load("plans/gpt-175b-512gpu.toml")
    assert adapter_notes(large) == []
    (note,) = adapter_notes(large.replace({"cluster.network.adapters_per_node": None}))
    assert "the 8 devices of a node share one adapter" in note


def test_it_is_said_where_processors_carry_less_than_adapters():
    """400 Gbit/s are 50 GB/s; processors copy 12.5 GB/s, and none for RoCE."""
    (note,) = link_notes(plan(link="ethernet-400"))
    assert "12.5 GB/s" in note
    assert "50.0 GB/s" in note
    assert link_notes(plan(link="roce-400")) == []
    assert link_notes(plan(link="ethernet-100")) == []


def test_a_link_that_is_all_cables_of_a_device_is_whole_on_every_cable():
    """280 GB/s are 4 cables of 70 GB/s, which a switch does not tell apart."""
    torus = {"topology": "torus", "shape": [4, 4], "link": "ici-v3"}
    (note,) = link_notes(plan(**torus))
    assert 'cluster.network.bandwidth = "70.0 GB/s"' in note
    assert link_notes(plan(**torus, bandwidth="70 GB/s")) == []
    assert link_notes(plan(link="ici-v3")) == []


def test_an_algorithm_that_no_message_takes_is_named():
    asked = {"synchronization.algorithm": "tree", "parallelism.zero": 1}
    (note,) = algorithm_notes(plan(overrides=asked))
    assert "zero = 1 sums gradients by reduce-scatter" in note
    assert algorithm_notes(plan(overrides={**asked, "parallelism.zero": 0})) == []
    owners = {**asked, "training.framework": "torch"}  # all-reduce, then broadcasts
    assert algorithm_notes(plan(overrides=owners)) == []
