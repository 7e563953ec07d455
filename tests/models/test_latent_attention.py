"""Latent attention (MLA): parameters, FLOP and kept bytes, each by hand."""

import pytest

from models.catalogue import build
from models.flash_attention import FlashAttention
from models.operators import Linear, Split
from models.work import Share


def _attention(name, overrides=None):
    operators = build(name, overrides or {}).layers[-2].operators
    names = [operator.name for operator in operators]
    return operators[1 : names.index("attention residual")]


def test_parameters_of_deepseek_v3_by_hand():
    h, a, q, kv, plain, rotary, value = 7168, 128, 1536, 512, 128, 64, 128
    queries = h * q + q + q * a * (plain + rotary)
    keys = h * (kv + rotary) + kv + kv * a * (plain + value)
    expected = queries + keys + a * value * h
    assert expected == sum(op.parameters for op in _attention("deepseek-v3"))


def test_parameters_of_deepseek_v2_lite_by_hand():
    # Queries are projected directly.
    h, a, kv, plain, rotary, value = 2048, 16, 512, 128, 64, 128
    expected = h * a * (plain + rotary) + a * value * h
    expected += h * (kv + rotary) + kv + kv * a * (plain + value)
    assert expected == sum(op.parameters for op in _attention("deepseek-v2-lite"))


def test_down_projections_are_replicated_and_those_up_are_divided():
    splits = {
        op.name: op.split for op in _attention("deepseek-v3") if isinstance(op, Linear)
    }
    assert splits == {
        "down projection": Split.NONE,
        "q up": Split.COLUMN,
        "kv up": Split.COLUMN,
        "projection": Split.ROW,
    }


@pytest.mark.parametrize("attention", ["flash", "materialized"])
def test_core_attention_multiplies_keys_and_values_of_their_own_widths(attention):
    operators = _attention("deepseek-v3", {"attention": attention})
    core = [op for op in operators if op.name in {"attention", "scores", "context"}]
    share = Share(samples=1)
    forward = sum(work.flop for op in core for work in op.forward(share))
    backward = sum(work.flop for op in core for work in op.backward_input(share))
    # Scores over 128 + 64 features, context over 128.
    expected = 2 * 128 * 4096**2 * (192 + 128)
    assert (expected, 2 * expected) == (forward, backward)


def test_the_flash_kernel_executes_five_products_backward():
    kernel = FlashAttention("attention", 4, 64, 24, is_causal=False, value_width=16)
    (forward,) = kernel.forward(Share(samples=1))
    (backward,) = kernel.backward_input(Share(samples=1))

    def executed(work):
        return work.batch * work.rows * work.columns * work.inner

    assert executed(forward) == 4 * 64**2 * (24 + 16)
    # The scores again, their gradients' two products; those of V and of P.
    assert executed(backward) == pytest.approx(4 * 64**2 * (3 * 24 + 2 * 16))
    # q and k, v and the output, two bytes each.
    assert forward.size == 2 * 4 * 64 * 2 * (24 + 16)


def test_equal_widths_are_plain_flash_attention():
    share = Share(samples=3, tensor=2)
    plain = FlashAttention("attention", 4, 64, 24, is_causal=True)
    equal = FlashAttention("attention", 4, 64, 24, is_causal=True, value_width=24)
    assert plain.forward(share) == equal.forward(share)
    assert plain.backward_input(share) == equal.backward_input(share)


@pytest.mark.parametrize(
    ("name", "rank"), [("deepseek-v3", 1536), ("deepseek-v2-lite", 0)]
)
def test_what_latent_attention_keeps(name, rank):
    a = {"deepseek-v3": 128, "deepseek-v2-lite": 16}[name]
    h = {"deepseek-v3": 7168, "deepseek-v2-lite": 2048}[name]
    s = 4096
    # The common input; both latent vectors before and after their norms.
    narrow = h + 2 * rank + 2 * 512
    # q, k, v of all heads and the context; a statistic a row in fp32.
    wide = a * (2 * 192 + 128 + 128)
    expected = 2 * s * (narrow + wide) + 4 * a * s
    operators = _attention(name)
    assert expected == sum(op.saved_bytes(Share(samples=1)) for op in operators)
    # Heads are divided by tensor parallelism, narrow vectors by sequence parallelism.
    divided = sum(op.saved_bytes(Share(1, tensor=4)) for op in operators)
    assert 2 * s * (narrow + wide / 4) + a * s == divided
    assert expected / 4 == sum(op.saved_bytes(Share(1, 4, 4)) for op in operators)
