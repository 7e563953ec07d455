"""Experts under ZeRO: divided among those that hold them; by hand, and in all engines.

A small mixture on d = 4 replicas with e = 2 expert ranks: each device has half of the
8 experts of 3 · h · f parameters, which one other device has as well. Beside them a
block has qkv and projection, a router and two norms. Messages of a group count once.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.api import run
from simulator.job import prepare
from simulator.memory.peak import memory
from tests.laws.spread_plans import (
    EXPERTS,
    HEAD,
    KV_HEADS,
    WIDTH,
    E,
    G,
    H,
    V,
    sent,
    spread,
    spread_plans,
)

D, HALVES, LAYERS = 4, 2, 3
EXPERT = EXPERTS["experts"] * 3 * H * WIDTH / HALVES  # of a block, on one device
DENSE = H * (H + 2 * KV_HEADS * HEAD) + H * H + EXPERTS["experts"] * H + 2 * H
TABLE, HEADS = V * H, V * H + H  # embedding; last norm and logits


def mixture(zero, microbatches=1, **changes):
    choices = {"data": D, "expert": HALVES, "layers": LAYERS, "overlap": True}
    plan = spread(experts=EXPERTS, microbatches=microbatches, **choices)
    keys = {f"parallelism.{key}": value for key, value in changes.items()}
    return plan.replace({"parallelism.zero": zero, **keys})


def test_zero_3_gathers_experts_among_those_that_hold_them():
    """A micro-batch gathers each block twice, embedding twice, the head, which stays,
    once; it scatters all once. Of experts there are two groups, of one half each.
    """
    rows = sent(mixture(3))
    dense = 2 * LAYERS * DENSE + 2 * TABLE + HEADS
    assert rows["all-gather", "shard"] == (E * dense, 2 * LAYERS + 3)
    experts = 2 * LAYERS * EXPERT
    assert rows["all-gather", "expert-data"] == (2 * E * experts, 2 * 2 * LAYERS)
    assert rows["reduce-scatter", "shard"][0] == G * (LAYERS * DENSE + TABLE + HEADS)
    scattered = 2 * G * LAYERS * EXPERT
    assert rows["reduce-scatter", "expert-data"] == (scattered, 2 * LAYERS)


def test_zero_1_scatters_and_gathers_experts_once():
    rows = sent(mixture(1, microbatches=3))
    assert rows["reduce-scatter", "expert-data"][0] == 2 * G * LAYERS * EXPERT
    assert rows["all-gather", "expert-data"] == (2 * E * LAYERS * EXPERT, 2)
    assert rows["all-gather", "shard"] == (E * (LAYERS * DENSE + TABLE + HEADS), 1)


def test_experts_that_one_device_holds_alone_are_sent_to_nobody():
    rows = sent(mixture(3, expert=4))
    assert {axis for _, axis in rows} == {"shard", "expert"}


def test_experts_are_divided_among_fewer_devices():
    # Master copy and two states of Adam, 12 bytes: of dense parameters over 4 devices,
    # of experts over 2.
    held = memory(prepare(mixture(1)))[0]
    dense = LAYERS * DENSE + TABLE + HEADS
    assert held.optimizer == 12 * (dense / D + LAYERS * EXPERT / 2)
    assert held.weights == 2 * (dense + LAYERS * EXPERT)


@st.composite
def sharded_spread_plans(draw):
    """Plans with tokens and experts spread over devices that also divide states."""
    return draw(spread_plans()).replace({"parallelism.zero": draw(st.integers(1, 3))})


@given(sharded_spread_plans())
@settings(derandomize=True, deadline=None, max_examples=40, database=None)
def test_engines_agree_where_states_of_experts_are_divided(small):
    job = prepare(small)
    times = [run(job, engine).step_time for engine in ("analytical", "event")]
    assert times[1] == pytest.approx(times[0], rel=1e-9)


@given(sharded_spread_plans())
@settings(derandomize=True, deadline=None, max_examples=10, database=None)
def test_folding_changes_nothing_where_states_of_experts_are_divided(small):
    folded, unfolded = prepare(small), prepare(small, is_folded=False)
    times = [run(job, "event").step_time for job in (folded, unfolded)]
    assert times[1] == pytest.approx(times[0], rel=1e-9)
    assert sent(small, is_folded=False) == sent(small)
