"""Layers whose states replicas divide less than those of others, or gather for longer.

The small GPT of `test_sharding_ledger`: blocks of 12 h² + 13 h, and a root of embedding
and head, which share a table. e bytes a gathered parameter, g a reduced gradient.
"""

import pytest

from simulator.api import simulate
from simulator.job import prepare
from simulator.lowering.sharding.rule import sharding_of
from simulator.lowering.sharding.units import parts_of
from simulator.lowering.sharding.visits import Order, visits_of
from simulator.memory.peak import memory
from tests.laws.small_plans import plan

S, H, V = 32, 64, 128
E, G, ADAM = 2, 4, 8  # fp16 gathered, fp32 reduced; both states of Adam
BLOCK = 12 * H**2 + 13 * H
ROOT = V * H + S * H + 2 * H
NORM = 4
N, M, LAYERS = 4, 3, 6
BOTH = pytest.mark.parametrize("engine", ["analytical", "event"])
ENDS = [{"match": "embedding", "zero": 0}, {"match": "head", "zero": 0}]


def divided(zero, *rules, **choices):
    """The small GPT under ZeRO, with choices for some of its layers."""
    usual = {"data": N, "layers": LAYERS, "microbatches": M, "overlap": True}
    changes = {
        "parallelism.zero": zero,
        "training.gradient_precision": "fp32",
        "parallelism.layers": [{"match": "block", **rule} for rule in rules],
    }
    return plan(**(usual | choices)).replace(changes)


def sent(small, engine):
    """The ledger as {(pattern, axis): (bytes, count)}."""
    rows = simulate(small, engine=engine).ledger
    return {(row.op, row.axis): (row.bytes, row.count) for row in rows}


@BOTH
def test_layers_that_are_not_divided_are_not_gathered(engine):
    """FSDP with ignored modules. Of L = 6 blocks k = 2 are whole on every rank: the
    others are gathered twice in each of m = 3 micro-batches, the root once, and their
    gradients scattered in each. Those of the two are all-reduced once a step, a message
    a layer.
    """
    k = 2
    rows = sent(divided(3, {"blocks": "1::3", "zero": 0}), engine)
    units = LAYERS - k
    assert rows == {
        ("all-gather", "shard"): (
            M * E * (2 * units * BLOCK + ROOT),
            M * (2 * units + 1),
        ),
        ("reduce-scatter", "shard"): (M * G * (units * BLOCK + ROOT), M * (units + 1)),
        ("all-reduce", "data"): (G * k * BLOCK, k),
        ("all-reduce", "shard"): (NORM, 1),
    }


@BOTH
def test_layers_that_stay_are_gathered_once_a_microbatch(engine):
    """FSDP2's `fully_shard(module, reshard_after_forward=False)` of k = 4 blocks: these
    are gathered for forward only, the others for backward too.
    """
    k = 4
    rows = sent(divided(3, {"blocks": ":4", "reshard": False}), engine)
    gathers = 2 * (LAYERS - k) + k
    assert rows["all-gather", "shard"] == (
        M * E * (gathers * BLOCK + ROOT),
        M * (gathers + 1),
    )
    others = divided(3, {"blocks": "4:", "reshard": True})
    mirrored = others.replace({"parallelism.reshard": False})
    assert sent(mirrored, engine) == rows


@BOTH
@pytest.mark.parametrize("zero", [1, 2])
def test_layers_divided_less_gather_what_the_optimizer_changed(zero, engine):
    """Under ZeRO-3 two of L = 6 blocks keep whole parameters. Their gradients are
    scattered in the last micro-batch (1) or in each (2), and after the optimizer their
    parameters are gathered in one message.
    """
    k = 2
    rows = sent(divided(3, {"blocks": ":2", "zero": zero}), engine)
    units = LAYERS - k
    gathered = M * E * (2 * units * BLOCK + ROOT) + E * k * BLOCK
    assert rows["all-gather", "shard"] == (gathered, M * (2 * units + 1) + 1)
    times = M if zero == 2 else 1
    scattered = M * G * (units * BLOCK + ROOT) + times * G * k * BLOCK
    assert rows["reduce-scatter", "shard"] == (scattered, M * (units + 1) + times * k)


@BOTH
def test_embedding_and_head_may_be_left_out_of_zero_1(engine):
    """A distributed optimizer for the blocks alone: g L (12 h² + 13 h) scattered, as
    many parameters gathered, and the rest summed by all-reduce.
    """
    small = divided(1, *ENDS)
    assert sent(small, engine) == {
        ("reduce-scatter", "shard"): (G * LAYERS * BLOCK, LAYERS),
        ("all-gather", "shard"): (E * LAYERS * BLOCK, 1),
        ("all-reduce", "data"): (G * ROOT, 2),
        ("all-reduce", "shard"): (NORM, 1),
    }


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_states_are_those_of_each_layers_own_stage(zero):
    """Of Ψ parameters in k = 2 blocks and the rest under ZeRO-3: parameters of 4 bytes,
    gradients of 4 and states of 8, divided by N = 4 as their stage says.
    """
    k = 2
    held, _ = memory(prepare(divided(3, {"blocks": ":2", "zero": zero})))
    rest = ROOT + (LAYERS - k) * BLOCK
    parts = [1 / N if zero >= stage else 1 for stage in (3, 2, 1)]
    found = (held.weights, held.gradients, held.optimizer)
    assert found == tuple(
        size * (rest / N + k * BLOCK * part)
        for size, part in zip((4, G, ADAM), parts, strict=True)
    )


def test_what_stays_gathered_is_there_until_its_backward():
    """At the fullest moment of a stage that keeps its k first blocks: those beside the
    root, the block that computes and the one gathered ahead of it.
    """
    k = 4
    usual, _ = memory(prepare(divided(3)))
    stays, _ = memory(prepare(divided(3, {"blocks": ":4", "reshard": False})))
    assert stays.buffers == usual.buffers + E * k * BLOCK


def test_gathering_ahead_passes_over_layers_that_are_whole():
    small = divided(3, {"blocks": "1::2", "zero": 0}, microbatches=1)
    job = prepare(small)
    rule = sharding_of(small)
    visits = visits_of(rule, job.rows[0], parts_of(small, rule, job.stages))
    order = Order(rule, visits)
    backward = [
        place
        for place, visit in enumerate(visits)
        if visit.action.kind == "B" and visit.part.unit.stage == 3
    ]
    first, second, third, *_ = backward
    assert (second, third) == (first + 2, first + 4)  # a whole block lies between
    assert order.ahead(second, 1) == [third]
    assert order.behind(third, 2) == first


@pytest.mark.parametrize("zero", [1, 2, 3])
def test_a_whole_model_by_name_is_plain_data_parallelism(zero):
    """With zero = 0 for every layer the same bytes are summed as with none of it."""
    whole = divided(zero, {"match": "*", "zero": 0})
    plain = simulate(divided(0)).ledger
    (row,) = [r for r in simulate(whole).ledger if r.axis == "data"]
    assert row.bytes == plain[0].bytes
    kept = whole.replace({"training.parameter_precision": "fp16"})
    held, none = (memory(prepare(each))[0] for each in (kept, divided(0)))
    assert held.states == none.states
