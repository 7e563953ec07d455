"""Stages of unequal size: as a plan says, or as their times ask for."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.errors import PlanError
from simulator.job import prepare
from simulator.lowering.balance import balanced_sizes
from tests.laws.small_plans import plan, step_time

times = st.lists(st.integers(1, 9).map(float), min_size=1, max_size=8)


def longest(blocks, sizes, before, after):
    """The time of the slowest stage, the sum of its blocks and of what is fixed."""
    ends = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
    sums = [sum(blocks[a:b]) for a, b in pairwise(ends)]
    sums[0] += before
    sums[-1] += after
    return max(sums)


def blocks_of(job):
    return [
        sum(layer.role == "block" for layer in low.stage.layers) for low in job.stages
    ]


@given(times, st.integers(1, 8), st.integers(0, 9), st.integers(0, 9))
@settings(derandomize=True, deadline=None, max_examples=200)
def test_no_other_cut_has_a_faster_slowest_stage(blocks, stages, before, after):
    stages = min(stages, len(blocks))
    if stages == 1:
        after = 0
    found = balanced_sizes(tuple(blocks), stages, before, after)
    assert sum(found) == len(blocks)
    assert min(found) >= 1
    cuts = combinations(range(1, len(blocks)), stages - 1)
    every = [
        [b - a for a, b in zip((0, *ends), (*ends, len(blocks)), strict=True)]
        for ends in cuts
    ]
    best = min(longest(blocks, sizes, before, after) for sizes in every)
    assert best == longest(blocks, found, before, after)


def test_given_stages_hold_what_the_plan_says():
    sizes = [2, 3, 3, 2]
    given_plan = plan(pipeline=4, layers=12).replace(
        {"model.layers": 10, "parallelism.stages": sizes}
    )
    assert blocks_of(prepare(given_plan)) == sizes


def test_a_large_vocabulary_moves_blocks_from_the_last_stage():
    even = plan(pipeline=4, layers=16, vocabulary=65536, microbatches=8, hidden=512)
    balanced = even.replace({"parallelism.balance": "time"})
    job = prepare(balanced)
    blocks = blocks_of(job)
    assert sum(blocks) == 16
    assert blocks[-1] < 4
    assert step_time(job) < step_time(prepare(even))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"stages": [4, 4]}, "has 2 entries, but there are 4 stages"),
        ({"stages": [4, 4, 4, 5]}, "counts 17 blocks, but gpt has 16"),
        ({"stages": [8, 0, 4, 4]}, "leaves stage 1 without a layer"),
        ({"stages": [4] * 4, "balance": "time"}, "leave one of the two out"),
        ({"pipeline": 3, "data": 1}, "16 blocks"),
    ],
)
def test_stages_that_do_not_fit(change, fault):
    given_plan = plan(pipeline=4, layers=16)
    changes = {f"parallelism.{key}": value for key, value in change.items()}
    with pytest.raises(PlanError, match=fault):
        given_plan.replace(changes)


def test_ends_may_be_without_blocks():
    plan(pipeline=4, layers=16).replace({"parallelism.stages": [0, 8, 8, 0]})


def test_balance_by_time_needs_no_even_division():
    plan(pipeline=4, layers=16).replace(
        {"parallelism.balance": "time", "model.layers": 15}
    )
