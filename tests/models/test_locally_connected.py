"""Filters that share no weights: counts by hand, and what a patch of neurons reads."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.autoencoder import COATES
from models.catalogue import build
from models.operators import LocallyConnected, Window
from models.work import Share

NAMES = ["le2012", *COATES]


def filters(model):
    """The locally connected operators of a model."""
    operators = [op for layer in model.layers for op in layer.operators]
    return [op for op in operators if isinstance(op, LocallyConnected)]


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_costs_a_multiply_add_a_weight(name):
    model = build(name)
    assert 2 * model.parameters == model.forward_flop()
    first, *_ = filters(model)
    # Both gradients cost as much, but the image needs none.
    assert 4 * model.parameters - 2 * first.parameters == model.backward_flop()


def test_weights_of_le_and_others_by_hand():
    # 200 pixels leave 183 places of 18 x 18 x 3, pooled to 179; those leave 162 of
    # 18 x 18 x 8, pooled to 158; those leave 141.
    field = 18**2
    weights = 8 * (183**2 * 3 + 162**2 * 8 + 141**2 * 8) * field
    assert weights == build("le2012").parameters
    # "1 billion connections"
    assert round(weights / 1e9) == 1


@pytest.mark.parametrize(("name", "scaled"), COATES.items())
def test_weights_of_coates_and_others_are_near_the_published(name, scaled):
    model = build(name)
    # Whole numbers of maps come within 1.5 %; the smallest network is the farthest.
    assert scaled.weights == pytest.approx(model.parameters, rel=0.015)
    # 46 places of 20 x 20 x 3, 35 and 24 of 10 x 10 maps.
    maps = scaled.maps
    expected = maps * (46**2 * 3 * 400 + (35**2 + 24**2) * maps * 100)
    assert expected == model.parameters


def test_nine_layers_are_three_stacks_of_three():
    layers = build("coates-185m").layers
    assert [layer.name.split()[0] for layer in layers] == [
        "filters",
        "pool",
        "contrast",
    ] * 3
    for layer, after in zip(layers[2::3], layers[3::3], strict=False):
        assert layer.output_elements == after.operators[0].inputs


def test_weights_are_fetched_once_whatever_the_batch():
    operator = LocallyConnected("x", 3, 4, Window(5, 2), (6, 7), inputs=3 * 15 * 17)
    (one,) = operator.forward(Share(samples=1, element=4))
    (two,) = operator.forward(Share(samples=2, element=4))
    assert two.flop == 2 * one.flop
    moved = 4 * (3 * 15 * 17 + 6 * 7 * 4)
    assert two.size - one.size == moved
    assert one.size - moved == 4 * operator.parameters == 4 * 42 * 4 * 75


def test_every_place_is_a_product_of_its_own():
    operator = LocallyConnected("x", 3, 4, Window(5, 2), (6, 7), inputs=3 * 15 * 17)
    (work,) = operator.forward(Share(samples=96))
    assert (work.rows, work.columns, work.inner, work.batch) == (96, 4, 75, 42)


@given(
    size=st.integers(1, 20),
    stride=st.integers(1, 8),
    patches=st.lists(st.integers(1, 30), min_size=1, max_size=8),
)
@settings(derandomize=True, deadline=None, max_examples=50)
def test_patches_overlap_by_what_a_window_has_beyond_its_stride(size, stride, patches):
    window = Window(size, stride)
    whole = window.reads(sum(patches))
    parts = sum(window.reads(places) for places in patches)
    # Where the stride is longer than the window, the input between patches is read by
    # none.
    assert parts - whole == (len(patches) - 1) * (size - stride)


def test_all_sublayers_say_what_a_place_reads():
    for layer in build("coates-11.2b").layers:
        (operator,) = layer.operators
        assert operator.window is not None
        assert operator.window.reads(1) == operator.window.size
