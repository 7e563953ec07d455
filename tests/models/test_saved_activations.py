"""Activations kept for backward: the formulas of Korthikanti et al., arXiv:2205.05198.

Factors of equation 1 and its parallel forms; every number of bytes is at two bytes an
element with dropout masks of one.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.catalogue import build
from models.work import Share

EXACT = 1e-12  # relative; sums of a dozen floats


@st.composite
def blocks(draw):
    """Draw s, b, h, a, t with a dividing h and t dividing a."""
    t = draw(st.sampled_from([1, 2, 4, 8, 3]))
    a = t * draw(st.integers(1, 12))
    h = a * draw(st.integers(1, 16)) * 8
    s = draw(st.integers(1, 4096))
    return s, draw(st.integers(1, 16)), h, a, t


def _block(family, s, h, a):
    shape = {"layers": 1, "hidden": h, "heads": a, "sequence_length": s}
    model = build(family, {**shape, "vocabulary": 64})
    return model.layers[1].operators


def _kept(operators, share, *, is_selective=False):
    return sum(
        operator.saved_bytes(share)
        for operator in operators
        if not (is_selective and operator.is_core_attention)
    )


@pytest.mark.parametrize("family", ["gpt", "bert"])
@given(dims=blocks())
@settings(derandomize=True, deadline=None, max_examples=40)
def test_a_block_keeps_what_korthikanti_counts(family, dims):
    s, b, h, a, t = dims
    operators = _block(family, s, h, a)
    sbh = s * b * h
    # s b h (34 + 5 a s / h), table 2, no parallelism
    whole = sbh * (34 + 5 * a * s / h)
    assert whole == pytest.approx(_kept(operators, Share(b)), rel=EXACT)
    # s b h (10 + 24 / t + 5 a s / (h t)), tensor parallel
    tensor = sbh * (10 + 24 / t + 5 * a * s / (h * t))
    assert tensor == pytest.approx(_kept(operators, Share(b, t)), rel=EXACT)
    # s b h / t (34 + 5 a s / h), with sequence parallelism
    assert whole / t == pytest.approx(_kept(operators, Share(b, t, t)), rel=EXACT)


@pytest.mark.parametrize("family", ["gpt", "bert"])
@given(dims=blocks())
@settings(derandomize=True, deadline=None, max_examples=40)
def test_dropping_core_attention_leaves_34_sbh(family, dims):
    s, b, h, a, t = dims
    operators = _block(family, s, h, a)
    kept = _kept(operators, Share(b, t), is_selective=True)
    assert s * b * h * (10 + 24 / t) == pytest.approx(kept, rel=EXACT)
    kept = _kept(operators, Share(b, t, t), is_selective=True)
    assert 34 * s * b * h / t == pytest.approx(kept, rel=EXACT)


@given(dims=blocks(), groups=st.sampled_from([1, 2]), inner=st.integers(1, 4096))
@settings(derandomize=True, deadline=None, max_examples=40)
def test_a_llama_block_keeps_no_masks(dims, groups, inner):
    s, b, h, a, t = dims
    shape = {"layers": 1, "hidden": h, "heads": a, "sequence_length": s}
    shape |= {"vocabulary": 64, "feed_forward": inner, "kv_heads": a}
    shape["attention"] = "materialized"
    if a % groups == 0:
        shape["kv_heads"] = a // groups
    operators = build("llama", shape).layers[1].operators
    # Whole: inputs of two norms (4), of qkv and of gate and up (4). Divided: q, k, v
    # (6), probabilities (2 a s / h), input of the projection (2), gate and up (4 f / h)
    # and input of down (2 f / h).
    divided = 8 + 2 * a * s / h + 6 * inner / h
    expected = s * b * h * (8 + divided / t)
    assert expected == pytest.approx(_kept(operators, Share(b, t)), rel=EXACT)


def test_flash_attention_keeps_one_number_a_row_instead_of_the_scores():
    dims = {"layers": 1, "hidden": 1024, "heads": 8, "sequence_length": 2048}
    dims |= {"vocabulary": 64}
    share = Share(samples=2, tensor=4)
    stored = build("gpt", dims).layers[1].operators
    fused = build("gpt", {**dims, "attention": "flash"}).layers[1].operators
    # Probabilities, mask and dropped-out probabilities (5 a s²) go, 4 bytes a row come.
    heads, tokens = 8 * 2 / 4, 2048
    assert _kept(stored, share) - _kept(fused, share) == pytest.approx(
        heads * tokens * (5 * tokens - 4), rel=EXACT
    )


def test_flash_attention_has_the_same_model_flop():
    dims = {"layers": 2, "hidden": 256, "heads": 4, "sequence_length": 512}
    dims |= {"vocabulary": 128}
    stored = build("gpt", dims)
    fused = build("gpt", {**dims, "attention": "flash"})
    assert stored.forward_flop() == fused.forward_flop()
    assert stored.backward_flop() == fused.backward_flop()


@pytest.mark.parametrize("name", ["gpt3-175b", "megatron-22b"])
def test_the_head_keeps_norm_product_and_fp32_logits(name):
    model = build(name)
    s, t = model.tokens_per_sample, 8
    h = model.layers[1].output_elements // s
    v = model.layers[0].operators[0].entries
    # 4 s b h / t (1 + v / h), section 4.3, sequence parallel
    expected = 4 * s * h / t * (1 + v / h)
    kept = _kept(model.layers[-1].operators, Share(1, t, t))
    assert expected == pytest.approx(kept, rel=EXACT)
    # The embedding's dropout mask, s b h / t, and 8 bytes an index of two look-ups.
    mask = _kept(model.layers[0].operators, Share(1, t, t))
    assert s * h / t + 2 * 8 * s == pytest.approx(mask, rel=EXACT)


def test_masks_do_not_grow_with_the_element_size():
    s, h, a = 128, 64, 4
    operators = _block("gpt", s, h, a)
    # At two bytes 32 of the 34 s h are numbers and 2 are masks; of 5 a s^2, 4 and 1.
    expected = s * h * (2 * 32 + 2) + a * s**2 * (2 * 4 + 1)
    assert expected == _kept(operators, Share(1, element=4))


@pytest.mark.parametrize(
    ("name", "numbers", "fixed"),
    [
        # Inputs of the five convolutions and three matrices, once each; the ReLUs
        # before three poolings and two dropouts. Fixed: a byte an element of two
        # dropouts, 8 bytes a winner of three poolings, fp32 log-softmax of the loss.
        (
            "alexnet",
            (3 * 224**2 + 64 * 27**2 + (192 + 384 + 256) * 13**2)
            + (9216 + 4096 + 4096)
            + (64 * 55**2 + 192 * 27**2 + 256 * 13**2 + 4096),
            (9216 + 4096) + 8 * (64 * 27**2 + 192 * 13**2 + 256 * 6**2) + 4 * 1000,
        ),
    ],
)
def test_alexnet_keeps_every_tensor_once(name, numbers, fixed):
    operators = [op for layer in build(name).layers for op in layer.operators]
    assert 2 * numbers + fixed == _kept(operators, Share(1))
    assert 4 * numbers + fixed == _kept(operators, Share(1, element=4))


def test_branches_keep_their_common_input_once():
    model = build("inception-v3-no-aux")
    layer = next(layer for layer in model.layers if layer.name == "mixed 5b")
    readers = [op for op in layer.operators if getattr(op, "inputs", 0) == 192 * 35**2]
    # Four operators read the module's input: three 1x1 and, behind the average pooling,
    # a 1x1 that reads (and keeps) the pooled maps of the same size.
    assert [op.keeps_input for op in readers] == [True, False, False, True]
