"""From messages to links: orders of rings, algorithms, failed and degraded cables."""

import json

import pytest

from simulator.api import simulate
from simulator.cli import main
from simulator.collectives.options import Options
from simulator.collectives.table import TABLE
from simulator.errors import Infeasible
from simulator.job import prepare
from simulator.network import Traffic
from simulator.reporting.report import text_report
from tests.laws.small_plans import networked
from topologies.graphs import build
from topologies.graphs.wiring import Wiring

ROUNDING = 1e-9
LARGE = {"hidden": 512, "data": 4}


def carrier_of(given_plan):
    located = prepare(given_plan).located
    assert located is not None
    return located.carrier


def rate(result):
    (bandwidth,) = set(result.job.located.carrier.router.bandwidth.tolist())
    return bandwidth


def ring_transfer(result, bandwidth):
    """2 (n - 1) / n · S / b of the all-reduce between replicas."""
    n = result.job.plan.parallelism.data
    (row,) = [row for row in result.ledger if row.axis == "data"]
    return 2 * (n - 1) / n * row.bytes / bandwidth


# -- the order of a ring ---------------------------------------------------------------


def test_a_ring_order_that_skips_hosts_puts_two_sends_on_every_link():
    """On five hosts in a circle 0-2-4-1-3 goes two links a hop, always the same way."""
    five = {"hidden": 512, "data": 5}
    best = simulate(networked("ring", **five))
    worst = simulate(networked("ring", **five, order=[0, 2, 4, 1, 3]))
    (order,) = worst.job.located.carrier.rings.orders.values()
    assert order.load == pytest.approx(2 * order.given_load, rel=ROUNDING)
    expected = best.step_time_s + ring_transfer(best, rate(best))
    assert worst.step_time_s == pytest.approx(expected, rel=ROUNDING)
    assert "ring order 0-2-4-1-3" in text_report(worst)


@pytest.mark.parametrize("topology", ["mesh", "torus", "wheel", "hypercube"])
def test_auto_is_at_least_as_good_as_rank(topology):
    keys = {"shape": [2, 4]} if topology in {"mesh", "torus"} else {}
    keys |= {"dimension": 3} if topology == "hypercube" else {}
    eight = {"hidden": 512, "data": 8, "network": keys}
    ranked = simulate(networked(topology, **eight, order="rank"), engine="analytical")
    chosen = simulate(networked(topology, **eight), engine="analytical")
    assert chosen.step_time_s <= ranked.step_time_s * (1 + ROUNDING)
    (order,) = chosen.job.located.carrier.rings.orders.values()
    assert order.load <= order.given_load
    assert not ranked.job.located.carrier.rings.orders


def test_the_report_says_what_a_better_order_saves():
    keys = {"probability": 0.3, "seed": 1}
    result = simulate(networked("random", data=10, hidden=512, network=keys))
    (order,) = result.job.located.carrier.rings.orders.values()
    assert order.given_load == pytest.approx(3 * order.load, rel=ROUNDING)
    shown = "-".join(map(str, order.hosts))
    gain = "in rank order its busiest link would carry 3 x"
    assert f"ring order {shown}; {gain}" in text_report(result)


def test_an_order_of_nodes_orders_the_devices_of_each_group():
    """Two devices in a node: both data groups go around the nodes in the same order."""
    choices = {"tensor": 2, "data": 3, "per_node": 2, "order": [2, 0, 1]}
    carrier = carrier_of(networked("ring", **choices))
    assert carrier.rings.ordered((0, 2, 4)) == (4, 0, 2)
    assert carrier.rings.ordered((1, 3, 5)) == (5, 1, 3)


def test_two_ranks_have_one_order():
    carrier = carrier_of(networked("ring", data=2, pipeline=2))
    assert carrier.rings.ordered((0, 1)) == (0, 1)


# -- the algorithm ---------------------------------------------------------------------


ALGORITHMS = [name for pattern, name in TABLE if pattern == "all-reduce"]
PIPELINED = {"double-binary-tree", "in-network"}  # in pieces of a size of their own


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("data", [2, 3, 6])
def test_a_plans_algorithm_is_used_and_on_a_star_is_as_on_a_switch(algorithm, data):
    choices = {"data": data, "hidden": 512, "algorithm": algorithm}
    star = simulate(networked("star", **choices), engine="analytical")
    used = star.job.located.carrier.chosen
    assert {kind.algorithm for kind in used} == {algorithm}
    switch = simulate(networked("switch", **choices), engine="analytical")
    rel = 0.03 if algorithm in PIPELINED else ROUNDING
    assert star.step_time_s == pytest.approx(switch.step_time_s, rel=rel)


def test_switches_that_are_not_there_cannot_add():
    with pytest.raises(Infeasible, match="reduction in the network needs switches"):
        simulate(networked("full", **LARGE, algorithm="in-network"))


@pytest.mark.parametrize("topology", ["star", "ring", "full"])
@pytest.mark.parametrize("hidden", [64, 2048])
def test_auto_is_at_least_as_good_as_a_ring(topology, hidden):
    choices = {"data": 8, "hidden": hidden}
    ring = simulate(networked(topology, **choices), engine="analytical")
    auto = networked(topology, **choices, algorithm="auto")
    chosen = simulate(auto, engine="analytical").step_time_s
    assert chosen <= ring.step_time_s * (1 + ROUNDING)


def test_only_the_sum_over_replicas_follows_the_plans_algorithm():
    """All else is as on a switch: rings, and a tree for the norm."""
    choices = {"tensor": 4, "data": 2, "sequence": True, "algorithm": "tree"}
    chosen = carrier_of(networked("star", **choices)).chosen
    assert {kind.op for kind in chosen} >= {"all-gather", "reduce-scatter"}
    for kind in chosen:
        is_sum = kind.axis == "data" and kind.op == "all-reduce"
        expected = "tree" if is_sum or kind.axis == "model" else "ring"
        assert expected == kind.algorithm


# -- failed and degraded cables --------------------------------------------------------


def leaf_spine(**keys):
    """Two leaves of two hosts; each leaf has b / 4 up each of two spines."""
    sizes = {"leaves": 2, "hosts_per_leaf": 2, "spines": 2, "oversubscription": 4}
    return networked("leaf-spine", **LARGE, network=sizes | keys)


def test_a_leaf_with_one_uplink_of_two_takes_twice_as_long():
    """A ring's one send between leaves has b / 2 over both spines, b / 4 over one.

    2 (n - 1) / n · S · (4 / b - 2 / b) more.
    """
    healthy = simulate(leaf_spine())
    broken = simulate(leaf_spine(failed=[["switch 0", "switch 2"]]))
    b = float(healthy.job.located.carrier.router.bandwidth.max())
    more = ring_transfer(healthy, b / 4) - ring_transfer(healthy, b / 2)
    assert broken.step_time_s == pytest.approx(healthy.step_time_s + more, rel=ROUNDING)
    assert text_report(broken)


def test_the_way_round_a_failed_cable_costs_its_hops():
    """Full duplex, so no bandwidth: 0 → 1 goes 0 → 3 → 2 → 1 over links without load.

    Each of 2 (n - 1) rounds waits for that message, two links longer than a hop.
    """
    hop = {"hop_latency": "50 us"}
    healthy = simulate(networked("ring", **LARGE, order="rank", network=hop))
    cut = hop | {"failed": [["host 0", "host 1"]]}
    broken = simulate(networked("ring", **LARGE, order="rank", network=cut))
    extra = 2 * (4 - 1) * 2 * healthy.job.plan.cluster.network.hop_latency
    expected = healthy.step_time_s + extra
    assert broken.step_time_s == pytest.approx(expected, rel=ROUNDING)


CUT = [["host 0", "host 1"], ["host 2", "host 3"]]


def test_a_cut_network_is_infeasible_and_the_error_says_who_is_apart():
    with pytest.raises(Infeasible, match=r"cut by 2 failed cables.*host 0.*host 1"):
        simulate(networked("ring", **LARGE, network={"failed": CUT}))


@pytest.mark.parametrize("engine", ["analytical", "event"])
def test_the_command_line_ends_with_3_where_the_network_is_cut(
    tmp_path, capsys, engine
):
    path = tmp_path / "plan.toml"
    given_plan = networked("ring", **LARGE, network={"failed": CUT})
    path.write_text(given_plan.dump(), encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        main([str(path), "--engine", engine])
    assert end.value.code == 3
    error = capsys.readouterr().err
    assert "cannot reach" in error
    assert "host 1" in error
    assert "Traceback" not in error


def test_a_cable_of_half_its_rate_halves_that_of_the_ring():
    """2 (n - 1) / n · S · (2 / b - 1 / b) more, as every round waits for that link."""
    keys = {"degraded": [{"link": ["host 0", "host 1"], "factor": 0.5}]}
    healthy = simulate(networked("ring", **LARGE, order="rank"))
    worn = simulate(networked("ring", **LARGE, order="rank", network=keys))
    expected = healthy.step_time_s + ring_transfer(healthy, rate(healthy))
    assert worn.step_time_s == pytest.approx(expected, rel=ROUNDING)


# -- parameter servers -----------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 5, 16])
def test_a_push_to_one_server_is_limited_by_its_port(workers):
    """n workers of S each, into one port of b: n S / b. Over n servers: S / b."""
    size, b = 8e6, 1e9
    hosts = 2 * workers
    star = Wiring(network=build("star", hosts=hosts, bandwidth=b, latency=0.0))
    central = TABLE["push", "central"].rounds(workers, size, Options())
    sharded = TABLE["push", "sharded"].rounds(workers, size, Options())
    to_one = Traffic.place(star, [range(workers + 1)], central, latency=0.0)
    to_all = Traffic.place(star, [range(hosts)], sharded, latency=0.0)
    assert to_one.isolated_time() == pytest.approx(workers * size / b, rel=ROUNDING)
    assert to_all.isolated_time() == pytest.approx(size / b, rel=ROUNDING)


def test_json_names_algorithms_and_orders():
    data = simulate(networked("ring", **LARGE)).to_json()
    assert data["network"]["ring_orders"] == [[0, 1, 2, 3]]
    (entry,) = data["messages"]
    assert (entry["op"], entry["axis"], entry["ranks"]) == ("all-reduce", "data", 4)
    assert (entry["algorithm"], entry["protocol"]) == ("ring", "simple")
    json.dumps(data, allow_nan=False)
