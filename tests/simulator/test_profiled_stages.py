"""Plans that state the times of their passes: what engines make of them on paper."""

import pytest

from simulator.errors import PlanError
from simulator.job import prepare
from tests.laws.small_plans import plan, step_time

P, M = 4, 8
TIMES = {"forward": "3 s", "backward_input": "2 s", "backward_weight": "1 s"}


def profiled(transfer="1 us", optimizer="1 us", slowest="1", ranks=P, **choices):
    times = {**TIMES, "transfer": transfer, "optimizer": optimizer, "slowest": slowest}
    times |= {key: choices.pop(key) for key in TIMES if key in choices}
    changes = {f"stage_times.{key}": value for key, value in times.items()}
    return plan(pipeline=ranks, microbatches=M, **choices).replace(changes)


def test_1f1b_takes_what_its_closed_form_says():
    assert step_time(prepare(profiled())) == pytest.approx((M + P - 1) * 6, rel=1e-4)


def test_sends_that_ranks_wait_for_add_up():
    # On two ranks: F 0 goes to rank 1, which does F, B and a send each time.
    small = profiled(transfer="1 s", ranks=2)
    expected = (3 + 1) + M * (6 + 1) + 3
    assert step_time(prepare(small)) == pytest.approx(expected, rel=1e-4)


def test_chunks_share_a_ranks_time():
    small = profiled(schedule="interleaved", chunks=2)
    expected = M * 6 * (1 + (P - 1) / (2 * M))
    assert step_time(prepare(small)) == pytest.approx(expected, rel=1e-4)


def test_a_slow_rank_sets_the_pace_and_not_the_fill():
    even, slow = (step_time(prepare(profiled(slowest=s))) for s in ("1", "1.1"))
    assert 0.1 * (M - 1) * 6 - 1e-4 <= slow - even <= 0.1 * M * 6 + 1e-4


def test_the_optimizer_comes_after():
    assert step_time(prepare(profiled(optimizer="5 s"))) == pytest.approx(
        (M + P - 1) * 6 + 5, rel=1e-4
    )


def test_steps_follow_each_other_where_the_norm_is_checked_afterwards():
    # ZB-V begins and ends on one rank, which holds the tied table: nothing is summed.
    small = profiled(
        schedule="zb-v", layers=2 * P, forward="2 s", backward_weight="2 s"
    )
    later = small.replace({"training.post_validation": True})
    assert step_time(prepare(later)) == pytest.approx(M * 6, rel=1e-4)
    assert step_time(prepare(small)) == pytest.approx(M * 6 + P - 1, rel=1e-4)


def test_times_need_units():
    with pytest.raises(PlanError, match="write it in quotes"):
        plan(pipeline=2).replace({"stage_times.forward": 3})
