"""Backward passes in two parts: what each does, keeps and waits for."""

import pytest
from hypothesis import given, settings

from models.work import Share, Work
from simulator.api import simulate
from simulator.errors import PlanError
from simulator.job import prepare
from simulator.lowering.kept import kept_bytes, kept_for_weights
from simulator.lowering.passes import layer_passes
from simulator.memory.peak import memory
from simulator.workload import Message, flatten
from tests.laws.small_plans import plan, plans, step_time

BLOCK = plan().build_model().layers[1]
SHARES = [
    Share(samples=1),
    Share(samples=2, tensor=4),
    Share(samples=2, tensor=4, sequence=4),
]


def leaves(items, kind):
    return [i for i, _ in flatten(tuple(items), "backward") if isinstance(i, kind)]


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
def test_the_two_parts_do_what_the_whole_does(share, recompute):
    passes = layer_passes(BLOCK, share, recompute)
    parts = (*passes.backward_input, *passes.backward_weight)
    for kind in (Work, Message):
        whole = sorted(map(repr, leaves(passes.backward, kind)))
        assert whole == sorted(map(repr, leaves(parts, kind)))


@pytest.mark.parametrize("share", SHARES)
def test_weight_gradients_send_nothing(share):
    passes = layer_passes(BLOCK, share, "none")
    assert leaves(passes.backward_weight, Message) == []


def test_a_block_keeps_thirty_two_for_its_weights():
    # arXiv:2401.10241, table 1: 32 s b h of 34 s b h + 5 a s^2 b.
    tokens, width, heads = 32, 64, 8
    share = Share(samples=3)
    assert kept_for_weights(BLOCK, share) == 3 * 32 * tokens * width
    whole = 3 * tokens * width * (34 + 5 * heads * tokens / width)
    assert kept_bytes(BLOCK, share, "none") == whole


def passes_of(job):
    return [op for op in job.workload.ops if op.name[0].isdigit()]


def test_sends_follow_the_first_part_and_hosts_run_ahead():
    job = prepare(plan(pipeline=2, schedule="zb-h1", microbatches=2))
    ops = job.workload.ops
    names = [op.name for op in ops]
    send = ops[names.index("send 1I0")]
    assert [names[i] for i in send.after] == ["1I0"]
    assert not any(op.host_waits for op in passes_of(job))
    weight = ops[names.index("1W0")]
    assert [names[i] for i in weight.after] == ["1I0"]


def test_a_plan_can_make_ranks_wait_for_their_sends():
    free = plan(pipeline=2, microbatches=4)
    waiting = prepare(free)
    going_on = prepare(free.replace({"parallelism.overlap_sends": True}))
    assert all(op.host_waits for op in passes_of(waiting))
    assert not any(op.host_waits for op in passes_of(going_on))
    assert step_time(going_on) < step_time(waiting)


def test_zb_v_hands_over_at_its_fold_without_a_send():
    job = prepare(plan(pipeline=2, schedule="zb-v", microbatches=4, layers=4))
    sends = {op.name for op in job.workload.ops if op.name.startswith("send")}
    assert "send 0F0" in sends
    assert "send 1F0" not in sends  # stages 1 and 2 are both on rank 1
    assert "send 2F0" in sends
    # First and last stage share a rank, and the table: no sum over ranks.
    assert "tied embedding" not in {op.name for op in job.workload.ops}


def test_dualpipe_holds_and_sums_every_stage_twice():
    single = prepare(plan(pipeline=4, schedule="1f1b", microbatches=8, layers=4))
    double = prepare(plan(pipeline=4, schedule="dualpipe", microbatches=8, layers=4))
    copies = [op for op in double.workload.ops if op.name == "copies"]
    assert [op.ranks for op in copies] == [(0, 3), (1, 2)]
    held = [
        sum(low.parameters for low in job.stages for _ in low.ranks)
        for job in (single, double)
    ]
    # Of a tied table the single pipeline holds two, and the double one two as well.
    table = single.stages[0].stage.layers[0].operators[0].parameters
    assert held[1] == 2 * (held[0] - table)
    for op, (first, _) in zip(copies, [(0, 3), (1, 2)], strict=True):
        (message,) = leaves(op.body.items, Message)
        mine = [low for low in double.stages if first in low.ranks]
        assert message.size == sum(low.gradient_bytes for low in mine)


def test_zb_h2_keeps_twice_as_much_and_zb_h1_no_more_than_1f1b():
    held = {
        name: memory(prepare(plan(pipeline=4, schedule=name, microbatches=16)))[0]
        for name in ("1f1b", "zb-h1", "zb-h2")
    }
    assert held["zb-h1"].activations <= held["1f1b"].activations
    assert held["zb-h2"].activations > 1.5 * held["zb-h1"].activations


@pytest.mark.parametrize(
    ("choices", "fault"),
    [
        ({"schedule": "zb-v", "microbatches": 6, "layers": 8}, "at least 2 x 4 = 8"),
        ({"schedule": "dualpipe", "microbatches": 9}, "even number of micro-batches"),
        ({"schedule": "zb-h1", "chunks": 2}, "need the interleaved schedule"),
    ],
)
def test_plans_whose_schedule_does_not_fit(choices, fault):
    with pytest.raises(PlanError, match=fault):
        plan(pipeline=4, **choices)


@pytest.mark.parametrize("schedule", ["zb-v", "dualpipe"])
def test_unfolding_two_directions_changes_nothing(schedule):
    small = plan(
        pipeline=2, tensor=2, data=2, schedule=schedule, microbatches=4, layers=4
    )
    folded, unfolded = (prepare(small, is_folded=is_it) for is_it in (True, False))
    assert step_time(unfolded) == pytest.approx(step_time(folded), rel=1e-12)


@given(plans())
@settings(derandomize=True, deadline=None, max_examples=40)
def test_checking_the_norm_afterwards_never_costs(small):
    later = simulate(small.replace({"training.post_validation": True}))
    assert later.step_time_s <= simulate(small).step_time_s * (1 + 1e-12)
    assert later.breakdown.total == pytest.approx(later.step_time_s, rel=1e-9)
    assert abs(later.breakdown.other_s) <= 1e-9 * later.step_time_s
