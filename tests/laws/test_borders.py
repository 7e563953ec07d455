"""Neurons divided over a grid of tensor ranks: bytes by hand, engines, folding."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engines.event import simulate_events
from simulator.engines.graph import build_graph
from simulator.engines.longest_path import longest_path
from simulator.job import prepare
from simulator.lowering.unfold import unfold
from simulator.plan import Plan
from simulator.pricing.neighbours import busiest
from simulator.results.metrics import ledger
from simulator.workload import Transfer

E = 4  # bytes, fp32


def plan(tensor, data=1, *, micro=2, per_node=None, topology="switch", microbatches=1):
    world = tensor * data
    per_node = per_node or world
    return Plan.from_mapping(
        {
            "model": {"name": "coates-185m"},
            "batch": {"global": micro * data * microbatches, "micro": micro},
            "parallelism": {"tensor": tensor, "data": data},
            "training": {"precision": "fp32", "optimizer": "sgd"},
            "cluster": {
                "device": "gtx-680",
                "nodes": world // per_node,
                "devices_per_node": per_node,
                "fabric": "pcie-3-x16",
                "network": {"link": "infiniband-fdr", "topology": topology},
            },
        }
    )


def exchanged(given_plan):
    rows = ledger(prepare(given_plan).workload, given_plan.parallelism.degrees)
    return {(r.op, r.axis): (r.bytes, r.count) for r in rows}[
        "neighbour-exchange", "tensor"
    ]


@pytest.mark.parametrize(("data", "micro", "m"), [(1, 2, 1), (2, 3, 2)])
def test_two_columns_exchange_what_windows_read_across_the_middle(data, micro, m):
    """Two ranks are a grid of 1 x 2: all borders are columns beside the middle.

    With 26 maps of w places, windows of k and no padding, an output has w - k + 1
    columns, of which rank 0 has the first half, rounded down, c. It reads up to column
    c + k - 1 of the input and holds up to half of w, rounded down; rank 1 reads from
    column c on. So across the middle pass

    pool 1      46 -> 44, k = 3:  rank 0 reads to 24, holds 23: 1; rank 1 from 22: 1
    contrast 1  44, k = 5, two padded: two columns each way, 2 numbers a place
    filters 2   44 -> 35, k = 10: c = 17, reads to 26, holds 22: 4; from 17: 5
    pool 2      35 -> 33, k = 3:  c = 16, reads to 18, holds 17: 1; from 16: 1
    contrast 2  33: two each way
    filters 3   33 -> 24, k = 10: c = 12, reads to 21, holds 16: 5; from 12: 4
    pool 3      24 -> 22, k = 3:  c = 11, reads to 13, holds 12: 1; from 11: 1
    contrast 3  22: two each way

    times the height of the input, the maps and the samples. The gradients of as many
    numbers go back. The image is loaded where it is read.
    """
    maps = 26
    columns = [
        (2, 46, maps),
        (4, 44, 2),
        (9, 44, maps),
        (2, 35, maps),
        (4, 33, 2),
        (9, 33, maps),
        (2, 24, maps),
        (4, 22, 2),
    ]
    numbers = sum(width * height * each for width, height, each in columns)
    size, count = exchanged(plan(2, data, micro=micro, microbatches=m))
    assert size == 2 * data * m * E * micro * numbers
    assert count == 2 * data * m * len(columns)


def test_one_rank_exchanges_nothing():
    assert ledger(prepare(plan(1)).workload, plan(1).parallelism.degrees) == ()


def test_what_leaves_a_node_is_what_its_ranks_do_not_send_each_other():
    sends = [Transfer(0, 1, 5.0), Transfer(1, 2, 7.0), Transfer(3, 0, 2.0)]
    assert busiest(sends, per_node=1) == (7.0, 7.0)
    assert busiest(sends, per_node=2) == (7.0, 7.0)
    assert busiest(sends, per_node=4) == (7.0, 0.0)


@given(
    tensor=st.sampled_from([2, 4, 6, 8, 9]),
    data=st.sampled_from([1, 2]),
    is_spread=st.booleans(),
    topology=st.sampled_from(["switch", "star"]),
)
@settings(derandomize=True, deadline=None, max_examples=10)
def test_engines_agree_and_folding_changes_nothing(tensor, data, is_spread, topology):
    small = plan(tensor, data, per_node=1 if is_spread else None, topology=topology)
    ends, rows = [], []
    for is_folded in (True, False):
        job = prepare(small, is_folded=is_folded)
        graph = build_graph(job.workload, job.prices)
        ends += [max(longest_path(graph).end), max(simulate_events(graph).end)]
        rows.append(ledger(job.workload, small.parallelism.degrees))
    assert ends == pytest.approx([ends[0]] * 4, rel=1e-9)
    assert rows[0] == rows[1]


def test_on_a_star_of_nodes_an_exchange_takes_as_long_as_on_a_switch():
    """Busy ports are all there is on either; the star's are links."""
    one, other = (
        prepare(plan(16, per_node=1, topology=topology))
        for topology in ("switch", "star")
    )
    times = [
        max(longest_path(build_graph(j.workload, j.prices)).end) for j in (one, other)
    ]
    assert times[0] == pytest.approx(times[1], rel=2e-3)


def test_unfolding_keeps_bytes():
    small = plan(4, data=2)
    degrees = small.parallelism.degrees
    folded = prepare(small).workload
    assert ledger(unfold(folded, degrees), degrees) == ledger(folded, degrees)


def test_the_network_of_64_gpus_takes_one_and_a_half_times_as_long_as_that_of_one():
    """Coates et al.: "similar"; on the cluster's Ethernet it would be twenty times."""
    one = plan(1, micro=96)
    large = one.replace(
        {
            "model.name": "coates-11.2b",
            "parallelism.tensor": 64,
            "cluster.nodes": 16,
            "cluster.devices_per_node": 4,
        }
    )
    slow = large.replace({"cluster.network.link": "ethernet-1"})
    times = []
    for given_plan in (one, large, slow):
        job = prepare(given_plan)
        times.append(max(longest_path(build_graph(job.workload, job.prices)).end))
    assert 1 < times[1] / times[0] < 1.6
    assert 15 < times[2] / times[0] < 25
