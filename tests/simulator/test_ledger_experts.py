"""Bytes of expert parallelism, derived by hand: exact, because they are whole numbers.

A small mixture with b samples a micro-batch, m micro-batches, L blocks, s tokens, h
features, E experts of 3 · h · f parameters, k of which a token meets; e bytes an
activation, g a gradient. Expert ranks e, tensor ranks t, context ranks c, replicas d.
The rows of a device's tokens are R = e · b · (s / c) · k · h bytes.
"""

import pytest

from models.work import Work
from simulator.lowering.staged import make_share, plan_passes
from tests.laws.spread_plans import (
    EXPERTS,
    HEAD,
    KV_HEADS,
    WIDTH,
    E,
    G,
    H,
    S,
    V,
    sent,
    spread,
)

B, M, LAYERS, K = 3, 5, 4, EXPERTS["top_k"]
NUM = EXPERTS["experts"]


def mixture(**choices):
    """The ledger of a plan."""
    sizes = {"micro": B, "microbatches": M, "layers": LAYERS}
    return sent(spread(experts=EXPERTS, **(sizes | choices)))


@pytest.mark.parametrize(("recompute", "exchanges"), [("none", 4), ("full", 6)])
@pytest.mark.parametrize("expert", [2, 4, 8])
def test_rows_go_to_their_experts_and_back(expert, recompute, exchanges):
    """A block: all-to-all of R at dispatch and at combine, forward and backward.

    Full recomputation repeats the two of the forward. There are d / e groups of e, each
    counted once with the buffer R of a device.
    """
    d = 8
    rows = mixture(data=d, expert=expert, recompute=recompute)
    calls = exchanges * LAYERS * M * d // expert
    size = E * B * S * K * H
    assert rows["all-to-all", "expert"] == (calls * size, calls)


def test_the_capacity_pads_rows_and_the_imbalance_adds_to_the_fullest():
    """Padded to 5 / 4 of the rows; of the fullest rank 3 / 2 of that."""
    experts = {**EXPERTS, "capacity_factor": 1.25}
    rows = sent(
        spread(
            data=2,
            expert=2,
            imbalance=1.5,
            experts=experts,
            microbatches=1,
            layers=1,
        )
    )
    assert rows["all-to-all", "expert"] == (4 * 1.5 * 1.25 * E * S * K * H, 4)


def test_experts_are_spread_over_neighbours_in_context_and_data():
    """With c = 2, d = 2, e = 4 one group has all four; rows are of s / c tokens."""
    rows = mixture(data=2, context=2, expert=4)
    calls = 4 * LAYERS * M
    size = E * B * (S // 2) * K * H
    assert rows["all-to-all", "expert"] == (calls * size, calls)


def test_tensor_ranks_that_have_all_tokens_sum_them_after_the_experts():
    """Without sequence parallelism every tensor rank dispatches all rows.

    All-to-all: t · d / e groups, R each. Tensor all-reduces of e · b · s · h: two of
    attention (projection forward, qkv backward), and of the experts' partial sums two,
    after combine forward and after dispatch backward; embedding and logits as always,
    and the loss. A partial result gives a part of the gradient of its route's weight:
    one sum more of e · b · s · k, at combine backward.
    """
    t, d, e = 2, 4, 4
    rows = mixture(tensor=t, data=d, expert=e)
    calls = 4 * LAYERS * M * t * d // e
    assert rows["all-to-all", "expert"] == (calls * E * B * S * K * H, calls)
    large, small = 4 * LAYERS + 2, 3
    weights = LAYERS * E * B * S * K
    size = M * d * (large * E * B * S * H + small * 4 * B * S + weights)
    assert rows["all-reduce", "tensor"] == (size, M * d * (large + small + LAYERS))


def test_under_sequence_parallelism_rows_are_gathered_and_scattered():
    """Megatron-Core's all-to-all dispatcher: each tensor rank dispatches its tokens.

    All-to-all of R / t. Then the tensor ranks gather all rows, R, once at dispatch
    forward and once at combine backward; they scatter R at combine forward and at
    dispatch backward. Beside them, in messages of e · b · s · h: a block's attention
    gathers before qkv, twice (forward, and for its weights), and before the backward of
    the projection, and scatters after the projection and after qkv's gradient; the
    embedding scatters and gathers once, the logits gather twice and scatter once.
    """
    t, d, e = 2, 4, 2
    rows = mixture(tensor=t, data=d, expert=e, sequence=True)
    calls = 4 * LAYERS * M * t * d // e
    part = E * B * S * H
    assert rows["all-to-all", "expert"] == (calls * part * K / t, calls)
    gathers, scatters = 3 * LAYERS + 3, 2 * LAYERS + 2
    groups = M * d
    assert rows["all-gather", "tensor"] == (
        groups * (gathers * part + 2 * LAYERS * K * part),
        groups * (gathers + 2 * LAYERS),
    )
    assert rows["reduce-scatter", "tensor"] == (
        groups * (scatters * part + 2 * LAYERS * K * part),
        groups * (scatters + 2 * LAYERS),
    )


def test_tensor_ranks_that_have_whole_experts_are_sent_tokens_as_the_others():
    """Of the e ranks of a group t are tensor ranks; each sends its R / t rows.

    All-to-all: t · d / e groups of e neighbours. The tensor ranks gather and scatter
    what dense layers need, as derived above, and nothing for the experts. Of these a
    device has E / e, each of 3 · h · f, which are on t · d / e devices.
    """
    t, d, e = 2, 4, 4
    rows = mixture(tensor=t, data=d, expert=e, sequence=True, whole=True)
    calls = 4 * LAYERS * M * t * d // e
    part = E * B * S * H
    assert rows["all-to-all", "expert"] == (calls * part * K / t, calls)
    gathers, scatters = 3 * LAYERS + 3, 2 * LAYERS + 2
    gathered = (M * d * gathers * part, M * d * gathers)
    assert rows["all-gather", "tensor"] == gathered
    scattered = (M * d * scatters * part, M * d * scatters)
    assert rows["reduce-scatter", "tensor"] == scattered
    of_one = NUM // e * 3 * H * WIDTH
    assert rows["all-reduce", "expert-data"] == (e * LAYERS * G * of_one, e)


def test_whole_experts_on_every_replica_are_summed_with_all_else():
    """Where e = t the tensor ranks divide the experts, and every replica has them all.

    A device's part of a block: h · (h + 2 · 4 · 8) / t + h² / t for attention, E · h
    and two gains of h whole, E / t experts.
    """
    t, d = 2, 2
    rows = mixture(tensor=t, data=d, expert=t, sequence=True, whole=True)
    assert ("all-reduce", "expert-data") not in rows
    block = (H * (H + 2 * KV_HEADS * HEAD) + H * H) / t + NUM * H + 2 * H
    block += NUM * 3 * H * WIDTH / t
    size, _ = rows["all-reduce", "data"]
    assert size == t * G * (2 * V * H / t + LAYERS * block + H)


@pytest.mark.parametrize(
    ("choices", "rows"),
    [
        ({"data": 4, "expert": 4}, B * S * K),
        ({"tensor": 2, "data": 4, "expert": 4, "sequence": True}, B * S * K),
        (
            {"tensor": 2, "data": 4, "expert": 4, "sequence": True, "whole": True},
            B * S * K / 2,
        ),
        ({"data": 8, "expert": 8}, 0),
    ],
)
def test_a_device_with_several_experts_sorts_their_rows(choices, rows):
    """At dispatch and combine, forward and back, R bytes are read and written.

    Tensor ranks that divide experts have gathered all rows; whole experts have those
    of one rank. With one expert a device there is nothing to sort.
    """
    plan = spread(experts=EXPERTS, **{"micro": B, "layers": 1, **choices})
    share = make_share(plan)
    block = next(x for x in plan.build_model().layers if x.role == "block")
    passes = plan_passes(plan, block, share)
    sorting = [
        item
        for item in (*passes.forward, *passes.backward)
        if isinstance(item, Work) and "sorting" in item.name
    ]
    assert [item.size for item in sorting] == [2 * E * rows * H] * (4 if rows else 0)


@pytest.mark.parametrize("overlap", [False, True])
def test_gradients_of_experts_are_summed_over_those_that_have_them(overlap):
    """Every parameter's g bytes are summed once, of experts over d · c / e ranks.

    Dense, over all ranks, t groups: two tables of V · h / t, a block of
    h · (h + 2 · 4 · 8) / t for q, k and v, h² / t for the projection, E · h for the
    router and two gains of h, whole; a last gain of h. Experts, over ranks e apart,
    t · e groups: E / e · 3 · h · f / t of each block.
    """
    t, d, e = 2, 4, 2
    rows = mixture(tensor=t, data=d, expert=e, overlap=overlap, bucket="40 kB")
    block = (H * (H + 2 * KV_HEADS * HEAD) + H * H) / t + NUM * H + 2 * H
    size, count = rows["all-reduce", "data"]
    assert size == t * G * (2 * V * H / t + LAYERS * block + H)
    assert count == t or overlap
    size, count = rows["all-reduce", "expert-data"]
    of_one = NUM // e * 3 * H * WIDTH // t
    assert size == t * e * LAYERS * G * of_one
    assert count == t * e or overlap


def test_experts_that_are_nowhere_twice_sum_nothing():
    assert ("all-reduce", "expert-data") not in mixture(data=4, expert=4)


def test_without_expert_parallelism_there_is_one_sum():
    """All parameters are on all replicas: the experts' go with the others."""
    rows = mixture(data=2)
    block = H * (H + 2 * KV_HEADS * HEAD) + H * H + NUM * H + 2 * H
    block += NUM * 3 * H * WIDTH
    assert rows["all-reduce", "data"] == (G * (2 * V * H + LAYERS * block + H), 1)
    assert {axis for _, axis in rows} == {"data"}


@pytest.mark.parametrize("schedule", ["1f1b", "zb-h1"])
def test_backward_in_two_parts_sends_the_same(schedule):
    """Messages belong to the gradients of inputs; those of weights send nothing."""
    rows = mixture(
        data=2, context=2, expert=2, pipeline=2, schedule=schedule, microbatches=4
    )
    calls = 4 * LAYERS * 4 * 2
    assert rows["all-to-all", "expert"] == (calls * E * B * (S // 2) * K * H, calls)
