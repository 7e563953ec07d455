"""Peak memory against a slow obvious walk, and laws that need no figures."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.job import arrange
from simulator.memory.peak import memory, peak
from simulator.memory.stretches import plan_needs
from tests.laws.small_plans import plan, plans
from tests.laws.spread_plans import spread_plans

SLOW = settings(derandomize=True, deadline=None, max_examples=40)


def held_at_most(job, rank):
    """Bytes beside states and buffers at a rank's fullest moment, layer by layer.

    Every layer of every micro-batch has an entry of its own while it is kept.
    """
    needs = plan_needs(job.plan, job.stages)
    held = {}
    most = 0.0
    for stage, kind, microbatch in job.rows[rank]:
        layers = job.stages[stage].stage.layers
        order = range(len(layers)) if kind == "F" else reversed(range(len(layers)))
        for place in order:
            need = needs[layers[place]]
            key = (stage, microbatch, place)
            passing = {
                "F": 0.0,
                "B": need.again + need.both,
                "I": need.again + need.gradients,
                "W": need.fresh,
            }
            most = max(most, sum(held.values()) + passing[kind])
            if kind == "F":
                held[key] = need.kept
            elif kind == "I":
                held[key] = need.left
            else:
                del held[key]
            most = max(most, sum(held.values()))
    assert not held
    return most


@given(plans())
@SLOW
def test_the_walk_is_the_obvious_one(small):
    job = arrange(small)
    found = peak(job).parts
    passing = found.activations + found.working
    assert found.workspace == 0
    ranks = range(small.parallelism.pipeline)
    assert max(held_at_most(job, rank) for rank in ranks) >= passing * (1 - 1e-12)
    rank = peak(job).rank
    assert passing == pytest.approx(held_at_most(job, rank), rel=1e-12)


@given(spread_plans())
@SLOW
def test_it_is_so_with_spread_tokens_and_experts(small):
    job = arrange(small)
    parts, rank, _ = peak(job)
    expected = held_at_most(job, rank)
    assert parts.activations + parts.working == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("schedule", ["zb-v", "dualpipe"])
def test_it_is_so_where_ranks_hold_two_stages(schedule):
    small = plan(pipeline=4, schedule=schedule, microbatches=8, layers=8)
    job = arrange(small)
    parts, rank, _ = peak(job)
    expected = held_at_most(job, rank)
    assert parts.activations + parts.working == pytest.approx(expected, rel=1e-12)


@given(st.sampled_from(["gpipe", "1f1b", "zb-h1", "zb-h2"]), st.integers(1, 12))
@SLOW
def test_more_microbatches_never_need_less(schedule, microbatches):
    few, more = (
        memory(arrange(plan(pipeline=4, schedule=schedule, microbatches=m)))[0].total
        for m in (microbatches, microbatches + 1)
    )
    assert few <= more


@given(plans())
@SLOW
def test_the_peak_is_more_than_states_and_its_sums_are_in_order(small):
    parts = memory(arrange(small))[0]
    assert parts.states < parts.allocated <= parts.reserved <= parts.total
    assert parts.total == pytest.approx(parts.reserved + parts.overhead, rel=1e-12)
