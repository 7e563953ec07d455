"""ZeRO where experts are spread: bytes sent and kept, by hand.

A small Llama of 2 blocks over 8 replicas whose experts are over e = 4 devices. Two
tables of V h; a block's dense part D: q, k and v of h (h + 2 · 4 · 8), the projection
of h², the router of E h, two gains of h; its experts of 3 h f each, of which a device
holds X = E / e · 3 h f. All 8 divide the dense part, and the 2 that hold the same
experts divide those. e bytes a gathered parameter, g a reduced gradient.
"""

import pytest

from simulator.api import simulate
from simulator.errors import PlanError
from simulator.job import prepare
from simulator.memory import memory
from tests.laws.spread_plans import (
    EXPERTS,
    HEAD,
    KV_HEADS,
    WIDTH,
    E,
    H,
    V,
    sent,
    spread,
)

N, SPREAD, LAYERS, M = 8, 4, 2, 3
NUM = EXPERTS["experts"]
G = 4
DENSE = H * (H + 2 * KV_HEADS * HEAD) + H * H + NUM * H + 2 * H
OWN = NUM // SPREAD * 3 * H * WIDTH
TABLES = 2 * V * H + H
NORM = 4


def sharded(zero, **choices):
    plan = spread(
        data=N,
        expert=SPREAD,
        layers=LAYERS,
        microbatches=M,
        experts=EXPERTS,
        overlap=True,
        **choices,
    )
    keys = {"parallelism.zero": zero, "training.gradient_precision": "fp32"}
    return plan.replace(keys)


def states_sent(plan):
    """Bytes of the messages that divide states."""
    axes = {"shard", "expert-data", "data", "replicate"}
    return {key: row[0] for key, row in sent(plan).items() if key[1] in axes}


@pytest.mark.parametrize("overlap_gather", [False, True])
def test_zero_1_divides_experts_among_those_that_hold_them(overlap_gather):
    """After the last micro-batch a reduce-scatter, after the optimizer an all-gather:
    of the dense part once over all 8; of the experts in each of 4 groups of 2.
    """
    plan = sharded(1).replace({"parallelism.overlap_gather": overlap_gather})
    dense, experts = TABLES + LAYERS * DENSE, LAYERS * OWN
    assert states_sent(plan) == {
        ("reduce-scatter", "shard"): G * dense,
        ("reduce-scatter", "expert-data"): SPREAD * G * experts,
        ("all-gather", "shard"): E * dense,
        ("all-gather", "expert-data"): SPREAD * E * experts,
        ("all-reduce", "shard"): NORM,
    }


def test_zero_3_gathers_the_experts_of_each_block_twice():
    """M micro-batches gather the embedding and each block for forward and again for
    backward, and the head once, whose backward follows at once; all are reduced.
    """
    gathered = 2 * LAYERS
    assert states_sent(sharded(3)) == {
        ("all-gather", "shard"): M * E * (TABLES + gathered * DENSE + V * H),
        ("all-gather", "expert-data"): SPREAD * M * E * gathered * OWN,
        ("reduce-scatter", "shard"): M * G * (TABLES + LAYERS * DENSE),
        ("reduce-scatter", "expert-data"): SPREAD * M * G * LAYERS * OWN,
        ("all-reduce", "shard"): NORM,
    }


def test_experts_on_all_replicas_are_not_divided_again():
    """e = 8: no other device has the same experts, so nothing is sent for them."""
    plan = sharded(1).replace({"parallelism.expert": N})
    assert {axis for _, axis in states_sent(plan)} == {"shard"}
    held = memory(prepare(plan))[0]
    dense, experts = TABLES + LAYERS * DENSE, LAYERS * OWN * SPREAD // N
    assert held.optimizer == 12 * (dense / N + experts)


@pytest.mark.parametrize(
    ("zero", "expected"),
    [(1, (1, 1, 0)), (2, (1, 0, 0)), (3, (0, 0, 0))],
)
def test_states_are_divided_as_their_messages_say(zero, expected):
    """Bytes 2, 4 and 12 a parameter, whole (1) or divided (0); a part of a gradient is
    in fp32 as its sum is. ZeRO-3 keeps fp32 parameters alone, and two states: 4, 4, 8.
    """
    dense, experts = TABLES + LAYERS * DENSE, LAYERS * OWN
    divided = dense / N + experts / (N // SPREAD)
    held = memory(prepare(sharded(zero)))[0]
    sizes = (4, 4, 8) if zero == 3 else (2, 4, 12)
    counts = [dense + experts if whole else divided for whole in expected]
    states = (held.weights, held.gradients, held.optimizer)
    wanted = [size * count for size, count in zip(sizes, counts, strict=True)]
    assert wanted == pytest.approx(states, rel=1e-12)


@pytest.mark.parametrize("zero", [1, 2, 3])
@pytest.mark.parametrize("pipeline", [1, 2])
def test_engines_agree(zero, pipeline):
    plan = sharded(zero, pipeline=pipeline)
    times = [
        simulate(plan, engine=engine, is_folded=is_folded).step_time_s
        for engine in ("analytical", "event")
        for is_folded in (True, False)
    ]
    assert times == pytest.approx(times[:1] * len(times), rel=1e-9)


def test_part_of_the_replicas_cannot_divide_states_with_experts():
    with pytest.raises(PlanError, match="all divide the states"):
        sharded(1).replace({"parallelism.shard": 4})
