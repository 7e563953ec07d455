"""One collective on a graph: times, bytes, orders, choices, and what is refused."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.cli import main
from simulator.collectives.table import TABLE
from simulator.errors import Infeasible, PlanError
from simulator.network import traffic
from simulator.one_collective.network import MAX_COMPARED
from simulator.one_collective.plan import CollectivePlan
from simulator.one_collective.report import collective_report
from simulator.one_collective.result import predict_collective
from simulator.plot import plot_network
from simulator.pricing.choice import serves

ROUNDING = 1e-9
ROOTED = {"push", "pull"}
laws = settings(derandomize=True, deadline=None, max_examples=25, database=None)


def collective(topology, *, nodes=8, changes=(), **section):
    """A plan of one device in a node, on Ethernet of 10 Gbit/s."""
    tables = {
        "collective": {"pattern": "all-reduce", "size": "64 MB"} | section,
        "cluster": {
            "device": "v100-sxm2-16gb",
            "nodes": nodes,
            "network": {"topology": topology, "link": "ethernet-10"},
        },
    }
    return CollectivePlan.from_mapping(tables, dict(changes))


def predicted(*arguments, **choices):
    return predict_collective(collective(*arguments, **choices))


@given(
    st.sampled_from([key for key in TABLE if key[0] not in ROOTED]),
    st.integers(2, 12),
    st.sampled_from(["1 kB", "8 MB"]),
)
@laws
def test_on_a_star_a_collective_takes_as_long_as_on_a_switch(key, nodes, size):
    pattern, algorithm = key
    row = TABLE[key]
    if row.allows(nodes) or "grain" in row.options or row.is_in_switch:
        return
    choices = {"nodes": nodes, "pattern": pattern, "algorithm": algorithm, "size": size}
    star, switch = (predicted(each, **choices) for each in ("star", "switch"))
    assert star.time_s == pytest.approx(switch.time_s, rel=ROUNDING)
    (one,), (other,) = star.parts, switch.parts
    assert (one.algorithm, one.steps) == (other.algorithm, other.steps)
    assert one.wire_bytes == pytest.approx(other.wire_bytes, rel=ROUNDING)


@given(st.integers(2, 9), st.sampled_from(["star", "full"]), st.integers(1, 3))
@laws
def test_links_carry_the_bytes_on_the_wire(nodes, topology, calls):
    result = predicted(topology, nodes=nodes, calls=calls)
    hops = {"star": 2, "full": 1}[topology]
    (part,) = result.parts
    assert result.network.link_bytes.sum() == pytest.approx(
        hops * part.wire_bytes, rel=ROUNDING
    )
    assert np.all(result.network.utilization(result.time_s) <= 1 + ROUNDING)


@pytest.mark.parametrize("topology", ["star", "ring", "full", "torus"])
@pytest.mark.parametrize("pattern", ["all-reduce", "all-to-all", "broadcast"])
def test_auto_is_the_fastest_of_all_that_can_be_done(topology, pattern):
    auto = predicted(topology, pattern=pattern)
    for kind, name in TABLE:
        if kind != pattern or not serves((), TABLE[kind, name]):
            continue
        try:
            named = predicted(topology, pattern=pattern, algorithm=name)
        except PlanError:
            continue
        assert auto.time_s <= named.time_s * (1 + ROUNDING)


def test_a_wrong_order_of_the_ring_is_visibly_worse():
    ring = {"algorithm": "ring"}
    best = predicted("ring", **ring)
    worse = predicted("ring", **ring, ring_order=[0, 2, 4, 6, 1, 3, 5, 7])
    assert worse.time_s > 1.9 * best.time_s
    assert "ring order 0-2-4-6-1-3-5-7" in collective_report(worse)


def test_cross_traffic_contends():
    """A steady flow of 5 of 10 Gbit/s leaves a ring half of one link."""
    flow = [{"from": 0, "to": 1, "rate": "5 Gbit/s"}]
    ring = {"algorithm": "ring", "ring_order": "rank"}
    alone = predicted("ring", **ring, calls=2)
    shared = predicted(
        "ring", **ring, calls=2, changes={"cluster.background": flow}.items()
    )
    assert 1.7 * alone.time_s < shared.time_s < 2.2 * alone.time_s
    assert shared.network.link_bytes == pytest.approx(alone.network.link_bytes)


def test_idle_cross_traffic_changes_nothing():
    """All bytes of the ring go forward, the flow goes back."""
    flow = [{"from": 1, "to": 0, "rate": "5 Gbit/s"}]
    ring = {"algorithm": "ring", "ring_order": "rank"}
    both = {"pattern": "reduce-scatter + all-gather", "algorithm": "ring + ring"}
    alone = predicted("ring", **ring | both, calls=2)
    changes = {"cluster.background": flow}.items()
    shared = predicted("ring", **ring | both, calls=2, changes=changes)
    expected = [part.time_s for part in alone.parts]
    assert [part.time_s for part in shared.parts] == pytest.approx(expected)


def test_the_inside_of_a_node_has_links_of_its_own():
    node = {"topology": "hybrid-cube-mesh", "pcie": "pcie-3-x16"}
    changes = {
        "cluster.nodes": 1,
        "cluster.network": None,
        "cluster.devices_per_node": 8,
        "cluster.fabric": "nvlink-2",
        "cluster.node": node,
    }
    plan = collective("ring", changes=changes.items())
    result = predict_collective(plan)
    links = result.to_json()["network"]["busiest_links"]
    assert all(link["name"].startswith("node 0: device") for link in links)
    used = result.network.utilization(result.time_s)
    figure = plot_network(plan, utilization=used)
    assert "utilization over the collective" in figure.axes[1].get_ylabel()


def test_one_rank_sends_nothing():
    result = predicted("ring", ranks=1)
    assert (result.time_s, result.algbw, result.network.link_bytes.sum()) == (0, 0, 0)
    assert collective_report(result)
    trees = predicted("ring", ranks=1, algorithm="double-binary-tree")
    assert trees.parts[0].time_s == 0


def test_switches_that_are_not_there_cannot_add_and_auto_does_not_ask_them():
    with pytest.raises(Infeasible, match="reduction in the network needs switches"):
        predicted("ring", algorithm="in-network")
    assert predicted("ring").parts[0].algorithm != "in-network"
    assert predicted("star").parts[0].algorithm != "in-network"


def test_a_cut_network_is_infeasible():
    cut = [["host 0", "host 1"], ["host 2", "host 3"]]
    with pytest.raises(Infeasible, match="cut by 2 failed cables"):
        predicted("ring", changes={"cluster.network.failed": cut}.items())


def test_algorithms_too_large_to_compare_are_named():
    nodes = 350
    assert nodes * (nodes - 1) > MAX_COMPARED
    result = predicted("star", nodes=nodes, pattern="all-gather")
    assert result.to_json()["network"]["left_out"] == ["direct"]
    assert "not compared" in collective_report(result)


def test_what_is_not_exact_is_said(monkeypatch):
    monkeypatch.setattr(traffic, "MAX_MESSAGES", 1)
    result = predicted("ring", nodes=6, algorithm="tree")
    (part,) = result.parts
    assert (part.form, part.is_exact) == ("rounds", False)
    assert "approximate: all-reduce by tree: 10 messages" in collective_report(result)
    assert len(result.to_json()["network"]["approximate"]) == 1


def test_only_the_first_protocol_of_a_link_is_on_graphs():
    changes = {
        "cluster.device": "h100-sxm5-80gb",
        "cluster.fabric": "nvlink-4",
        "cluster.node": {"topology": "switch"},
        "cluster.nodes": 1,
        "cluster.network": None,
        "cluster.devices_per_node": 8,
    }
    with pytest.raises(PlanError, match="has its first protocol, simple, only"):
        collective("ring", protocol="nvls", changes=changes.items())


def test_the_command_line_prints_and_draws(tmp_path, capsys):
    path, picture = tmp_path / "plan.toml", tmp_path / "network.svg"
    path.write_text(collective("torus").dump(), encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        main([str(path), "--json", "--plot-network", str(picture)])
    assert not end.value.code
    content = json.loads(capsys.readouterr().out)
    assert content["parts"][0]["form"] == "fluid"
    assert content["network"]["link_bytes"] > 0
    assert "utilization over the collective" in picture.read_text("utf-8")
    with pytest.raises(SystemExit) as end:
        main([str(path), "--trace", str(tmp_path / "trace.json")])
    assert end.value.code == 2
