"""Dense layers split by neurons over replicas: bytes by hand, engines, and folding.

b samples a replica and micro-batch, m micro-batches, d replicas; e bytes a number. The
dense layers have the widths w0 (their input), w1, ..., wn (the logits).
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engines.event import simulate_events
from simulator.engines.graph import build_graph
from simulator.engines.longest_path import longest_path
from simulator.job import prepare
from simulator.lowering.portions import make_portions
from simulator.lowering.unfold import unfold
from simulator.memory.peak import memory
from simulator.plan import Plan
from simulator.results.metrics import ledger

E = 4  # bytes, fp32
WIDTHS = (48, 96, 64, 32, 16)
DENSE = WIDTHS[1:]  # the first matrix is replicated, the others divided
SCHEMES = ["all-at-once", "in-turn", "in-slices"]


def plan(scheme="in-turn", data=4, micro=8, microbatches=1, **rule):
    return Plan.from_mapping(
        {
            "model": {"family": "mlp", "widths": list(WIDTHS)},
            "batch": {"global": data * micro * microbatches, "micro": micro},
            "parallelism": {
                "data": data,
                "layers": [
                    {"match": "fc*", "split": "samples"}
                    if scheme is None
                    else {
                        "match": "fc[234]",
                        "split": "neurons",
                        "scheme": scheme,
                        **rule,
                    },
                ],
            },
            "training": {"precision": "fp32", "optimizer": "momentum"},
            "cluster": {
                "device": "k20",
                "devices_per_node": data,
                "fabric": "pcie-2-x16",
            },
        }
    )


def rows_of(given_plan):
    rows = ledger(prepare(given_plan).workload, given_plan.parallelism.degrees)
    return {row.op: (row.bytes, row.count) for row in rows}


@pytest.mark.parametrize("updates", ["once", "each-portion"])
@pytest.mark.parametrize(("data", "micro", "m"), [(4, 8, 1), (2, 6, 3), (8, 16, 2)])
def test_in_turn_each_replica_broadcasts_its_samples(data, micro, m, updates):
    """Scheme (b): d portions of b samples, each of one replica.

    A portion arrives by a broadcast of b w0 numbers, and its gradients leave by a
    reduction of as many. Inside: before every product but the first the replicas
    gather its input, b (w1 + ... + w(n-1)) numbers, and the logits, b wn; they sum and
    scatter the gradients of the same inputs, not those of the logits. Weights of dense
    layers are nowhere else, so that only the first matrix and its bias are summed.
    """
    rows = rows_of(plan("in-turn", data, micro, m, updates=updates))
    first, *inner, logits = DENSE
    portions, one = m * data, E * micro
    assert rows["broadcast"] == (portions * one * first, portions)
    assert rows["reduce"] == (portions * one * first, portions)
    gathered = portions * one * (sum(inner) + logits)
    assert rows["all-gather"] == (gathered, portions * (len(inner) + 1))
    scattered = portions * one * sum(inner)
    assert rows["reduce-scatter"] == (scattered, portions * len(inner))
    replicated = WIDTHS[0] * WIDTHS[1] + WIDTHS[1]
    assert rows["all-reduce"] == (E * replicated, 1)


def test_all_at_once_there_is_one_portion_of_all_samples():
    """Scheme (a): d b samples are gathered once, and so is every other activation."""
    data, micro, m = 4, 8, 3
    rows = rows_of(plan("all-at-once", data, micro, m))
    first, *inner, logits = DENSE
    one = E * micro * data
    gathers = 1 + len(inner) + 1
    assert rows["all-gather"] == (m * one * (first + sum(inner) + logits), m * gathers)
    assert rows["reduce-scatter"] == (
        m * one * (first + sum(inner)),
        m * (1 + len(inner)),
    )
    assert "broadcast" not in rows


def test_in_slices_every_portion_has_a_part_of_each_replicas_samples():
    """Scheme (c): as (b), but b / d samples of each are gathered, not b of one."""
    turns, slices = rows_of(plan("in-turn")), rows_of(plan("in-slices"))
    arrived = turns["broadcast"]
    assert slices["all-gather"] == tuple(
        a + b for a, b in zip(turns["all-gather"], arrived, strict=True)
    )
    assert slices["reduce-scatter"] == tuple(
        a + b for a, b in zip(turns["reduce-scatter"], turns["reduce"], strict=True)
    )


def test_all_schemes_send_the_same_bytes():
    sums = {
        scheme: sum(size for size, _ in rows_of(plan(scheme)).values())
        for scheme in SCHEMES
    }
    assert len(set(sums.values())) == 1


def test_replicas_together_do_what_the_undivided_layers_do():
    given_plan = plan("in-turn", data=4)
    model = given_plan.build_model()
    portions = make_portions(given_plan, model)
    dense = model.layers[1:]
    assert portions.count * 4 * portions.parameters == 4 * sum(
        layer.parameters for layer in dense
    )
    assert portions.layers == dense


@pytest.mark.parametrize("scheme", SCHEMES)
def test_memory_holds_a_part_of_the_dense_weights(scheme):
    given_plan = plan(scheme, data=4)
    model = given_plan.build_model()
    first, *dense = (layer.parameters for layer in model.layers)
    parts, _ = memory(prepare(given_plan))
    assert parts.weights == E * (first + sum(dense) / 4)


def test_more_at_once_keeps_more_activations():
    kept = {
        scheme: make_portions(plan(scheme), plan(scheme).build_model()).kept
        for scheme in SCHEMES
    }
    assert kept["in-turn"] == kept["in-slices"] < kept["all-at-once"]


def test_updates_of_each_portion_cost_passes_over_the_weights():
    times = {}
    for updates in ("once", "each-portion"):
        job = prepare(plan("in-turn", data=4, updates=updates))
        graph = build_graph(job.workload, job.prices)
        times[updates] = sum(
            busy * len(ranks)
            for busy, ranks in zip(graph.busy, graph.ranks, strict=True)
        )
        portions = job.stages[0].portions
    # A momentum step in fp32 moves 24 bytes a weight: 3 further times for 4 portions.
    rate = job.profile.memory_efficiency * job.cluster.device.memory_bandwidth
    further = 3 * 24 * portions.parameters / rate
    kernels = (portions.count) * job.profile.kernel_time
    assert times["each-portion"] - times["once"] == pytest.approx(further + kernels)


@given(
    scheme=st.sampled_from(SCHEMES),
    data=st.sampled_from([1, 2, 4, 8]),
    microbatches=st.integers(1, 3),
    is_node=st.booleans(),
)
@settings(derandomize=True, deadline=None, max_examples=25)
def test_engines_agree_and_folding_changes_nothing(scheme, data, microbatches, is_node):
    given_plan = plan(scheme, data, 8, microbatches)
    if is_node and data > 1:
        node = {"topology": "pcie-dual-root", "switches": 2}
        given_plan = given_plan.replace({"cluster.node": node})
    ends = []
    for is_folded in (True, False):
        job = prepare(given_plan, is_folded=is_folded)
        graph = build_graph(job.workload, job.prices)
        ends += [max(longest_path(graph).end), max(simulate_events(graph).end)]
    assert ends == pytest.approx([ends[0]] * 4, rel=1e-9)


def test_unfolding_keeps_bytes():
    given_plan = plan("in-slices", microbatches=2)
    degrees = given_plan.parallelism.degrees
    folded = prepare(given_plan).workload
    assert ledger(unfold(folded, degrees), degrees) == ledger(folded, degrees)


def test_the_next_portion_arrives_while_one_is_computed():
    job = prepare(plan("in-turn", data=4))
    graph = build_graph(job.workload, job.prices)
    times = longest_path(graph)
    spans = {
        op.name: (ready, end)
        for op, ready, end in zip(job.workload.ops, times.ready, times.end, strict=True)
    }
    for number in range(3):
        computed, arrival = (
            spans[f"portion {number} of 0F0"],
            spans[f"arrival of portion {number + 1} of 0F0"],
        )
        assert arrival[0] < computed[1]
        assert arrival[1] < spans[f"gradients of portion {number} of 0F0"][1]


def test_recomputation_by_name_is_that_of_all_layers_where_it_matches():
    """Full recomputation of one block of four repeats its forward pass only."""
    table = plan("in-turn").replace({"parallelism.layers": None})
    rule = [{"match": "fc[12]", "recompute": "full"}]
    some = table.replace({"parallelism.layers": rule})
    every = table.replace({"parallelism.recompute": "full"})
    works = [
        [len(passes.backward) for passes, _ in prepare(one).stages[0].passes]
        for one in (table, some, every)
    ]
    assert works[1] == works[2][:2] + works[0][2:]
    assert works[1] != works[0]
