"""Bytes of context parallelism, derived by hand: exact, because they are whole numbers.

A small Llama with b samples a micro-batch, m micro-batches, L blocks, s tokens, h
features, g key-value heads of w features; e bytes an activation. Tensor ranks t,
context ranks c, replicas d. A device's own keys and values are, with s / c tokens and
g / t heads, K = 2 · e · b · (s / c) · (g / t) · w bytes.
"""

import pytest

from tests.laws.spread_plans import HEAD, KV_HEADS, WIDTH, E, G, H, S, V, sent, spread

B, M, LAYERS = 3, 5, 4


def own(context, tensor):
    """K of the module's docstring."""
    return 2 * E * B * (S // context) * (KV_HEADS // tensor) * HEAD


@pytest.mark.parametrize(("recompute", "forwards"), [("none", 1), ("full", 2)])
@pytest.mark.parametrize("context", [2, 4, 8])
def test_keys_and_values_go_around_a_ring(context, recompute, forwards):
    """TransformerEngine's ring; c steps of attention in each direction.

    Forward: a device passes K on beside each step but the last, c - 1 times, and again
    where the forward is recomputed. Backward: K beside the first step; K and as many
    gradients beside each of the c - 2 between; gradients beside the last. That is c
    messages with 2 (c - 1) K. A ring counts once, with what each device sends; there
    are t · d of them, and each does so for L blocks and m micro-batches.
    """
    t, d = 2, 2
    rows = sent(
        spread(
            context=context,
            tensor=t,
            data=d,
            micro=B,
            microbatches=M,
            layers=LAYERS,
            recompute=recompute,
        )
    )
    calls = LAYERS * M * t * d
    messages = forwards * (context - 1) + context
    size = (forwards + 2) * (context - 1) * own(context, t)
    assert rows["neighbour-exchange", "context"] == (calls * size, calls * messages)


def test_more_tensor_ranks_than_key_value_heads_hold_one_each():
    """With t = 8 and g = 4 a device has one head: K = 2 · e · b · (s / c) · w."""
    c, t = 2, 8
    rows = sent(spread(context=c, tensor=t, micro=B, microbatches=1, layers=1, heads=8))
    size = 3 * (c - 1) * 2 * E * B * (S // c) * HEAD
    assert rows["neighbour-exchange", "context"] == (t * size, t * 3)


@pytest.mark.parametrize(("recompute", "gathers"), [("none", 2), ("full", 3)])
def test_keys_and_values_are_gathered(recompute, gathers):
    """Llama 3, arXiv:2407.21783, section 3.3.2.

    All-gather of c · K before attention, in forward and again in backward, as a device
    keeps its own only; once more where the forward is recomputed. After the backward a
    reduce-scatter of as many gradients.
    """
    c, t, d = 4, 2, 2
    rows = sent(
        spread(
            context=c,
            method="all-gather",
            tensor=t,
            data=d,
            micro=B,
            microbatches=M,
            layers=LAYERS,
            recompute=recompute,
        )
    )
    calls, whole = LAYERS * M * t * d, c * own(c, t)
    gathered = (gathers * calls * whole, gathers * calls)
    assert rows["all-gather", "context"] == gathered
    assert rows["reduce-scatter", "context"] == (calls * whole, calls)


def test_latent_attention_passes_on_keys_and_values_of_all_heads():
    """A key is of 8 + 4 features, a value of 6, and every head has its own."""
    c, heads = 2, 8
    latent = {"kv_rank": 16, "plain_width": 8, "rotary_width": 4, "value_width": 6}
    rows = sent(
        spread(
            context=c,
            micro=B,
            microbatches=1,
            layers=1,
            heads=heads,
            model={**latent, "kv_heads": heads, "query_rank": 0},
        )
    )
    size = E * B * (S // c) * heads * (8 + 4 + 6)
    assert rows["neighbour-exchange", "context"] == (3 * (c - 1) * size, 2 * c - 1)


def test_activations_between_devices_are_those_of_a_part_of_the_tokens():
    """A tensor all-reduce is of e · b · (s / c) · h, a send of that divided by t.

    Of a block four all-reduces, and one each of the embedding and of the logits; three
    of 4 bytes a token for the loss. There are c times as many groups, so that bytes are
    those without context parallelism: c of the counts, 1 of the bytes.
    """
    alone, spread_out = (
        sent(
            spread(
                context=c,
                tensor=2,
                pipeline=2,
                data=2,
                micro=B,
                microbatches=M,
                layers=LAYERS,
            )
        )
        for c in (1, 4)
    )
    size = 2 * M * ((4 * LAYERS + 2) * E * B * S * H + 3 * 4 * B * S)
    assert spread_out["all-reduce", "tensor"][0] == size
    for row in (
        ("all-reduce", "tensor"),
        ("send", "pipeline"),
        ("all-gather", "tensor"),
    ):
        assert spread_out[row] == (alone[row][0], 4 * alone[row][1])


@pytest.mark.parametrize("overlap", [False, True])
def test_gradients_are_summed_over_data_and_context(overlap):
    """All parameters are on all d · c ranks, and g bytes of each are summed once.

    Two tables of V · h, a block of h · (h + 2 · 4 · 8) for q, k and v, h² for the
    projection, 3 · h · f for the feed-forward, and two gains of h; a last gain of h.
    """
    rows = sent(spread(context=4, data=2, layers=LAYERS, overlap=overlap))
    block = H * (H + 2 * KV_HEADS * HEAD) + H * H + 3 * H * WIDTH + 2 * H
    size, count = rows["all-reduce", "data"]
    assert size == G * (2 * V * H + LAYERS * block + H)
    assert (count == 1) is not overlap
