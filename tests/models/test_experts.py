"""Mixtures of experts: what a token costs, what a device holds, what it exchanges."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.catalogue import build
from models.mixture import ExpertLinear, TokenExchange
from models.operators import Linear, Split
from models.work import Share

DIMENSIONS = {
    "layers": 2,
    "hidden": 64,
    "heads": 4,
    "sequence_length": 128,
    "vocabulary": 1000,
    "feed_forward": 96,
}
EXPERTS = {"experts": 8, "top_k": 2}


def _operators(model, kind, index=-2):
    return [op for op in model.layers[index].operators if isinstance(op, kind)]


def _works(operator, share):
    return (
        *operator.forward(share),
        *operator.backward_input(share),
        *operator.backward_weight(share),
    )


@pytest.mark.parametrize(
    "name", ["mixtral-8x7b", "deepseek-v2-lite", "deepseek-v3", "qwen3-30b-a3b"]
)
def test_a_token_costs_six_flop_an_active_weight_and_attention(name):
    model = build(name)
    tokens, layers = model.tokens_per_sample, model.num_blocks
    # Weights of matrices only: neither the embedding nor gains.
    gains = sum(
        op.parameters
        for layer in model.layers
        for op in layer.operators
        if not isinstance(op, Linear | ExpertLinear)
    )
    matrices = model.active_parameters - gains
    kernel = next(op for op in model.layers[1].operators if op.name == "attention")
    widths = kernel.width + (kernel.value_width or kernel.width)
    squares = 6 * layers * kernel.heads * tokens**2 * widths
    flop = model.forward_flop() + model.backward_flop()
    assert 6 * tokens * matrices + squares == pytest.approx(flop, rel=1e-12)


def test_mixtral_flop_by_hand():
    model = build("mixtral-8x7b")
    tokens = model.tokens_per_sample
    # q and output 4096, k and v 1024 wide; router; two experts of three matrices.
    block = 4096 * (2 * 4096 + 2 * 1024) + 4096 * 8 + 2 * 3 * 4096 * 14336
    scores = 2 * 4096 * tokens
    expected = 2 * tokens * (32 * (block + scores) + 4096 * 32000)
    assert expected == model.forward_flop()


def test_all_experts_used_by_all_tokens_cost_as_much_as_one_as_wide():
    dense = build("llama", {**DIMENSIONS, "feed_forward": 4 * 96})
    every = {**DIMENSIONS, "experts": 4, "top_k": 4}
    model = build("llama", every)
    router = 2 * 2 * 128 * 64 * 4
    assert dense.forward_flop() + router == model.forward_flop()
    assert dense.parameters + 2 * 64 * 4 == model.parameters
    assert model.parameters == model.active_parameters


@given(
    degree=st.sampled_from([1, 2, 4, 8]),
    tensor=st.sampled_from([1, 2, 4]),
    capacity=st.sampled_from([0.5, 1.0, 1.25, 2.0]),
)
@settings(derandomize=True, deadline=None, max_examples=40)
def test_flop_of_a_device_do_not_change_with_expert_parallelism(
    degree, tensor, capacity
):
    model = build("llama", {**DIMENSIONS, **EXPERTS, "capacity_factor": capacity})
    for operator in _operators(model, ExpertLinear):
        alone = _works(operator, Share(2, tensor))
        spread = _works(operator, Share(2, tensor, expert=degree))
        for one, part in zip(alone, spread, strict=True):
            assert one.flop == part.flop
            assert one.batch == degree * part.batch
            executed = part.batch * 2 * part.rows * part.columns * part.inner
            assert executed == part.flop * max(1.0, capacity)
        assert operator.saved_bytes(Share(2)) == operator.saved_bytes(
            Share(2, expert=degree)
        )


def test_an_expert_multiplies_its_part_of_the_tokens():
    model = build("llama", {**DIMENSIONS, **EXPERTS})
    up, down = _operators(model, ExpertLinear)
    (forward,) = up.forward(Share(samples=3, tensor=2, expert=4))
    # 3 samples of 128 tokens, twice, of four devices, over eight experts.
    assert (forward.rows, forward.batch) == (3 * 128 * 2 * 4 / 8, 2)
    assert (forward.inner, forward.columns) == (64, 2 * 96 / 2)
    (forward,) = down.forward(Share(samples=3, tensor=2, expert=4))
    assert (forward.inner, forward.columns) == (96 / 2, 64)


def test_the_capacity_factor_pads_rows_and_not_flop_and_drops_both():
    balanced, padded, dropping = (
        _operators(
            build("llama", {**DIMENSIONS, **EXPERTS, "capacity_factor": factor}),
            ExpertLinear,
        )[0]
        for factor in (1, 1.5, 0.5)
    )
    share = Share(samples=1)
    (one,), (more,), (less,) = (
        op.forward(share) for op in (balanced, padded, dropping)
    )
    assert (more.flop, more.rows) == (one.flop, 1.5 * one.rows)
    assert (less.flop, less.rows) == (0.5 * one.flop, 0.5 * one.rows)
    assert more.size > one.size > less.size


def test_dispatch_and_combine_exchange_k_rows_a_token():
    model = build("mixtral-8x7b")
    dispatch, combine = _operators(model, TokenExchange)
    assert [op.direction for op in (dispatch, combine)] == ["dispatch", "combine"]
    share = Share(samples=2)
    # 2 bytes, 2 samples, 4096 tokens, 2 experts, 4096 features
    assert dispatch.exchanged_bytes(share) == 2 * 2 * 4096 * 2 * 4096
    assert combine.exchanged_bytes(share) == dispatch.exchanged_bytes(share)
    assert dispatch.token_bytes(share) == 2 * 2 * 4096 * 4096
    half = replace(share, tensor=2, sequence=2)
    assert 2 * dispatch.exchanged_bytes(half) == dispatch.exchanged_bytes(share)


def test_a_mixture_keeps_its_input_once_and_what_its_experts_read():
    shape = {**DIMENSIONS, **EXPERTS, "expert_feed_forward": 48, "shared_experts": 2}
    operators = build("llama", shape).layers[1].operators
    names = [op.name for op in operators]
    own = operators[names.index("mlp norm") :]
    s, h, k, f = 128, 64, 2, 48
    # Input of the norm and of the router; fp32 weights of eight experts.
    common = 2 * s * h + 2 * s * h + 4 * s * 8
    # Copied tokens, gate and up, input of down; the same of the shared, without input.
    routed = 2 * k * s * (h + 2 * f + f)
    shared = 2 * s * (2 * 2 * f + 2 * f)
    kept = sum(op.saved_bytes(Share(1)) for op in own)
    assert common + routed + shared == kept


def test_head_norms_are_divided_and_their_gains_are_not():
    operators = build("qwen3-30b-a3b").layers[1].operators
    norms, gains = (op for op in operators if op.name.startswith("head "))
    assert (norms.split, norms.parameters) == (Split.INNER, 0)
    assert (gains.split, gains.parameters) == (Split.NONE, 2 * 128)
    # 32 + 4 heads of 128 features, read and written.
    (work,) = norms.forward(Share(samples=1, tensor=4))
    assert work.size == 2 * 2 * 4096 * (32 + 4) * 128 / 4
    assert gains.forward(Share(samples=1)) == ()


def test_the_first_blocks_are_dense():
    model = build("deepseek-v3")
    kinds = [layer.name for layer in model.layers if layer.role == "block"]
    assert kinds == ["dense block"] * 3 + ["block"] * 58
    dense = model.layers[1]
    assert dense.expert_parameters == 0
    assert dense.parameters == dense.active_parameters
    inner = {op.inner for op in dense.operators if op.name == "down"}
    assert inner == {18432}
    assert model.layers[4].expert_parameters == 256 * 3 * 7168 * 2048
    assert len({id(layer) for layer in model.layers}) == 4


def test_a_router_is_replicated_and_experts_are_divided():
    splits = {
        op.name: op.split
        for op in build("deepseek-v2-lite").layers[-2].operators
        if isinstance(op, Linear | ExpertLinear)
    }
    assert splits["router"] is Split.NONE
    assert splits["experts gate up"] is splits["shared gate up"] is Split.COLUMN
    assert splits["experts down"] is splits["shared down"] is Split.ROW


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("mixtral-8x7b", {"top_k": 9}, r"top_k: 9 exceed the 8 experts"),
        ("mixtral-8x7b", {"experts": 0}, r"experts: 0 is below 1"),
        ("mixtral-8x7b", {"dense_layers": 33}, r"dense_layers: 33 exceed the 32"),
        ("mixtral-8x7b", {"capacity_factor": 0}, r"capacity_factor: 0.0 is not pos"),
        ("mixtral-8x7b", {"capacity_factor": "1"}, r"capacity_factor: '1' is not a n"),
        ("llama2-7b", {"top_k": 2}, r"experts: missing; a mixture of experts needs"),
        ("gpt2", EXPERTS, r"experts: a mixture of experts is not for gpt"),
        ("llama2-7b", {"kv_rank": 64}, r"plain_width: missing; latent attention needs"),
        ("deepseek-v3", {"kv_heads": 8}, r"kv_heads: 8 of 128 heads, but latent"),
        ("deepseek-v3", {"kv_rank": 0}, r"kv_rank: 0 is below 1"),
        ("qwen3-30b-a3b", {"feed_forward": 8}, r"feed_forward: every block has exp"),
    ],
)
def test_a_wrong_dimension_names_the_key(name, overrides, message):
    with pytest.raises(ValueError, match=message):
        build(name, overrides)


def test_experts_as_wide_as_the_feed_forward_part_follow_it():
    model = build("mixtral-8x7b", {"feed_forward": 1024})
    assert {op.inner for op in _operators(model, ExpertLinear)} == {4096, 1024}
    model = build("deepseek-v3", {"feed_forward": 1024})
    assert {op.inner for op in _operators(model, ExpertLinear)} == {7168, 2048}
