"""Node-limited exchange with experts: bytes by hand, both engines, and what it saves.

As in `test_ledger_experts`: b samples a micro-batch, m micro-batches, L blocks, s
tokens, h features, k experts a token; e bytes an activation. Groups of g neighbours
among e expert ranks; a token goes to N groups.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.work import Share
from simulator.api import run
from simulator.errors import PlanError
from simulator.job import prepare
from simulator.lowering.experts import exchange_backward, exchange_forward
from simulator.plan import Plan
from simulator.workload import Message
from tests.laws.spread_plans import EXPERTS, E, H, S, sent, spread

B, M, LAYERS, K = 3, 5, 4, EXPERTS["top_k"]


def limited(neighbours, nodes=None, **choices):
    """A mixture whose tokens go to groups of neighbours first."""
    sizes = {"micro": B, "microbatches": M, "layers": LAYERS, "experts": EXPERTS}
    plain = spread(**(sizes | choices))
    keys = {"expert_neighbours": neighbours}
    keys |= {"expert_nodes": nodes} if nodes else {}
    mesh = plain.parallelism.model_copy(update=keys)
    return plain.model_copy(update={"parallelism": mesh})


@pytest.mark.parametrize(
    ("neighbours", "nodes", "copies"), [(2, None, 2), (4, None, 2), (2, 1, 1)]
)
def test_a_token_crosses_nodes_once_for_each_and_goes_on_by_rows(
    neighbours, nodes, copies
):
    """A block exchanges four times: dispatch and combine, forward and backward.

    Across nodes each of 8 / g groups of ranks at one place sends N copies of e b s h
    bytes a rank, N at most k = 2; inside, the k rows.
    """
    rows = sent(limited(neighbours, nodes, data=8, expert=8))
    calls = 4 * LAYERS * M
    tokens = E * B * S * H
    across = calls * neighbours
    assert rows["all-to-all", "expert-across"] == (across * copies * tokens, across)
    inside = calls * (8 // neighbours)
    assert rows["all-to-all", "expert-inside"] == (inside * K * tokens, inside)
    assert ("all-to-all", "expert") not in rows


def test_one_node_needs_no_crossing():
    rows = sent(limited(4, data=4, expert=4))
    assert ("all-to-all", "expert-across") not in rows
    assert rows["all-to-all", "expert-inside"][1] == 4 * LAYERS * M


def test_what_comes_back_takes_the_same_way_back_in_the_format_of_compute():
    """fp8 with a scale of 4 B for 128 numbers: 1 + 4 / 128 B, of 2, to experts only."""
    model = limited(2, 1).build_model()
    dispatch, combine = (
        next(op for op in model.layers[1].operators if op.name == name)
        for name in ("dispatch", "combine")
    )
    share = Share(1, expert=8, neighbours=2, nodes=1, dispatched=1 + 4 / 128)
    tokens = 2 * S * H
    there = [("expert-across", tokens), ("expert-inside", K * tokens)]
    narrow = [(axis, size * (1 + 4 / 128) / 2) for axis, size in there]

    def messages(items):
        return [(one.axis, one.size) for one in items if isinstance(one, Message)]

    assert messages(exchange_forward(dispatch, share)) == narrow
    assert messages(exchange_forward(combine, share)) == there[::-1]
    assert messages(exchange_backward(combine, share)) == narrow
    assert messages(exchange_backward(dispatch, share)) == there[::-1]


@given(
    neighbours=st.sampled_from([2, 4]),
    nodes=st.sampled_from([None, 1, 2]),
    pipeline=st.integers(1, 2),
    recompute=st.sampled_from(["none", "full"]),
    per_node=st.sampled_from([4, 8]),
)
@settings(derandomize=True, deadline=None, max_examples=10)
def test_engines_agree(neighbours, nodes, pipeline, recompute, per_node):
    small = limited(
        neighbours,
        nodes,
        data=8,
        expert=8,
        micro=1,
        microbatches=2,
        layers=2,
        pipeline=pipeline,
        recompute=recompute,
        per_node=per_node,
    )
    for is_folded in (True, False):
        job = prepare(small, is_folded=is_folded)
        one, other = run(job, "analytical").step_time, run(job, "event").step_time
        assert one == pytest.approx(other, rel=1e-9)


def test_fewer_copies_over_a_slow_network_are_faster():
    choices = {"data": 8, "expert": 8, "per_node": 4, "hidden": 2048, "length": 512}
    few, plain = limited(4, 1, **choices), limited(1, **choices)
    times = [run(prepare(each), "event").step_time for each in (few, plain)]
    assert times[0] < times[1]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"expert_neighbours": 3}, "groups of 3 do not divide 8 expert devices"),
        ({"expert_nodes": 2}, "no groups limit them"),
    ],
)
def test_groups_that_do_not_fit_are_told(keys, problem):
    tables = spread(experts=EXPERTS, data=8, expert=8).model_dump(exclude_unset=True)
    tables["parallelism"] |= keys
    with pytest.raises(PlanError, match=problem):
        Plan.from_mapping(tables)
