"""Synchronous parameter servers: bytes by hand, times on paper, both engines."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import simulate
from simulator.errors import PlanError
from simulator.plan import Plan
from simulator.pricing.servers import busy_servers, variables
from topologies.profile_file import load_profile

PARAMETERS = 3 * 64 * 64 + 3 * 64  # three layers of 64 x 64 with bias
TABLES = {
    "model": {"family": "mlp", "widths": [64, 64, 64, 64]},
    "training": {"precision": "fp32", "optimizer": "sgd"},
    "device_step": {"time": "10 ms"},
    "synchronization": {"scheme": "parameter-server", "bucket": "1 B"},
}
ORDERS = ("after-push", "before-use", "before-forward")


def plan(nodes=2, per_node=2, **changes):
    workers = nodes * per_node
    cluster = {
        "device": "k80",
        "nodes": nodes,
        "devices_per_node": per_node,
        "fabric": "pcie-3-x16",
        "network": {"link": "ethernet-10"},
    }
    batch = {"global": 8 * workers, "micro": 8}
    tables = {**TABLES, "batch": batch, "cluster": cluster}
    return Plan.from_mapping(tables, changes)


@pytest.mark.parametrize("order", ORDERS)
def test_every_parameter_is_pushed_and_pulled_once(order):
    """A layer has 64 x 64 weights and 64 biases of 4 B: 16,640 B.

    All workers push together, so that the group's call counts once, as that of an
    all-reduce does: 3 calls of 16,640 B each way, 49,920 B.
    """
    rows = simulate(plan(**{"synchronization.pull": order})).ledger
    pulls = 1 if order == "before-forward" else 3
    assert {("push", "data", 49920.0, 3), ("pull", "data", 49920.0, pulls)} == {
        (row.op, row.axis, row.bytes, row.count) for row in rows if row.axis == "data"
    }
    assert PARAMETERS * 4 == 49920


def test_without_overlap_there_is_one_push_and_one_pull():
    rows = simulate(plan(**{"synchronization.overlap": False})).ledger
    assert {("push", 49920.0, 1), ("pull", 49920.0, 1)} == {
        (row.op, row.bytes, row.count) for row in rows if row.axis == "data"
    }


def test_servers_keep_the_optimizers_state():
    """Adam's 8 bytes a parameter are on no device that servers serve.

    One replica whose device adds for itself has no server to keep them.
    """
    adam = {"training.optimizer": "adam"}
    served = simulate(plan(**adam)).memory
    assert (served.weights, served.optimizer) == (4 * PARAMETERS, 0)
    alone = plan(1, 1, **adam, **{"synchronization.sum_on": "device"})
    assert simulate(alone).memory.optimizer == 8 * PARAMETERS


def test_parts_follow_one_another():
    """Two nodes of two, two servers, S = 1 GB.

    Hosts copy 2 S at 11 GB/s; an adapter of 0.9415 x 1.25 GB/s takes
    (2 - 1) / 2 S; a host adds 2 inputs of S, and 2 of S / 2 with the update's
    two passes: ((2 + 1) + (2 + 2 + 1) / 2) S at 40 GB/s.
    """
    servers = simulate(plan()).job.pricer.servers
    wait = 5.7e-6 + 20e-6
    pull = 2 / 11 + 0.5 / (0.9415 * 1.25) + wait
    assert servers.time("pull", 1e9) == pytest.approx(pull)
    assert servers.time("push", 1e9) == pytest.approx(pull + 5.5 / 40)


def test_devices_that_add_share_the_work():
    """Of three equal layers the fullest of four devices has one, from three others.

    It receives 3 times S / 3 over its link.
    """
    own = plan(1, 4, **{"synchronization.sum_on": "device"})
    rate = 0.914 * 15.75e9
    servers = simulate(own).job.pricer.servers
    assert servers.time("pull", 1e9) == pytest.approx(1e9 / rate + 5.7e-6)


def test_the_fullest_server_counts():
    """Of sizes 4, 1, 1, 1 on two servers, one has 4 of 7: 1.75 are busy."""
    assert busy_servers((4.0, 1.0, 1.0, 1.0), 2) == 1.75
    own = plan(**{"synchronization.whole_variables": True})
    assert variables(own.build_model()) == (4160.0,) * 3
    assert simulate(own).job.pricer.servers.servers == 1.5


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=1), st.integers(1, 16))
def test_no_more_servers_are_busy_than_there_are(sizes, count):
    busy = busy_servers(tuple(map(float, sizes)), count)
    assert 1 <= busy <= min(count, len(sizes)) + 1e-9


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("is_overlapped", [True, False])
def test_both_engines_and_all_ranks_agree(order, is_overlapped):
    changes = {"synchronization.pull": order, "synchronization.overlap": is_overlapped}
    own = plan(**changes)
    folded = simulate(own)
    assert simulate(own, engine="analytical").step_time_s == pytest.approx(
        folded.step_time_s, rel=1e-12
    )
    assert simulate(own, is_folded=False).step_time_s == pytest.approx(
        folded.step_time_s, rel=1e-9
    )


def test_overlap_costs_no_more_than_the_latencies_of_its_messages():
    times = [
        simulate(plan(**{"synchronization.pull": order})).step_time_s
        for order in ORDERS
    ]
    serial = simulate(plan(**{"synchronization.overlap": False})).step_time_s
    assert max(times) <= serial + 6 * 26e-6  # four more messages' latencies


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"synchronization.servers": 3}, "3 servers, each on a node"),
        ({"parallelism.tensor": 2}, "not built together"),
        ({"cluster.network.topology": "ring"}, "graphs of links"),
        (
            {"synchronization.scheme": "all-reduce", "synchronization.pull": ORDERS[1]},
            "all-reduce has none",
        ),
    ],
)
def test_what_does_not_go_with_servers_is_refused(changes, words):
    with pytest.raises(PlanError, match=words):
        plan(**changes)


def test_profiles_without_a_host_have_the_general_one():
    assert load_profile("a100").host == load_profile("generic").host
