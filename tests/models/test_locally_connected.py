"""Filters that share no weights: counts by hand, and what a patch of neurons reads."""

from collections import Counter
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.autoencoder import COATES, IMAGE
from models.catalogue import build
from models.operators import LocallyConnected, RankGrid, Sliding, Window, rank_grid
from models.operators.windows import bounds
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


def test_all_sublayers_say_what_their_places_read():
    below = IMAGE.elements
    for layer in build("coates-11.2b").layers:
        (operator,) = layer.operators
        sliding = operator.sliding
        places = sliding.inputs[0] * sliding.inputs[1]
        # A contrast reads two numbers of a place, all else every map.
        channels = 2 if operator.name == "contrast" else below // places
        assert channels == sliding.channels
        assert layer.output_elements % (sliding.outputs[0] * sliding.outputs[1]) == 0
        below = layer.output_elements


@st.composite
def slidings(draw):
    """Windows without gaps over a grid, and their padding."""
    stride = draw(st.integers(1, 3))
    size = draw(st.integers(stride, 6))
    padding = draw(st.integers(0, size // 2))
    inputs = draw(st.tuples(st.integers(6, 14), st.integers(6, 14)))
    outputs = tuple((side + 2 * padding - size) // stride + 1 for side in inputs)
    channels = draw(st.integers(1, 3))
    return Sliding(Window(size, stride), channels, inputs, outputs), padding


@given(slidings(), st.sampled_from([1, 2, 3, 4, 6, 8, 9]))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_neighbours_lend_what_windows_read_place_by_place(drawn, ranks):
    sliding, padding = drawn
    (size, stride), (height, width) = sliding.window, sliding.inputs
    spare = [
        (places - 1) * stride + size - side
        for places, side in zip(sliding.outputs, sliding.inputs, strict=True)
    ]
    grid = rank_grid(ranks)
    cells = grid.ranks()

    def owner(place, sides):
        rows, columns = (bounds(n, g) for n, g in zip(sides, grid, strict=True))
        row = next(i for i, own in enumerate(rows) if place[0] in own)
        column = next(i for i, own in enumerate(columns) if place[1] in own)
        return cells[row, column]

    paddings = [max(0, more) // 2 for more in spare]
    assert all(own <= padding for own in paddings)
    lent = set()
    for row, column in product(*map(range, sliding.outputs)):
        reader = owner((row, column), sliding.outputs)
        for down, right in product(range(size), repeat=2):
            read = (row * stride - paddings[0] + down, column * stride - paddings[1])
            read = (read[0], read[1] + right)
            if 0 <= read[0] < height and 0 <= read[1] < width:
                lender = owner(read, sliding.inputs)
                lent |= {(lender, reader, read)} if lender != reader else set()
    counts = Counter((lender, reader) for lender, reader, _ in lent)
    expected = {pair: sliding.channels * count for pair, count in counts.items()}
    found = sliding.borrowed(ranks)
    assert {(a, b): c for a, b, c in found} == expected
    assert len(found) == len(expected)


def test_four_ranks_in_a_row_make_a_square():
    cells = {rank: cell for cell, rank in RankGrid(8, 8).ranks().items()}
    assert sorted(cells) == list(range(64))
    for first in range(0, 64, 4):
        rows, columns = zip(*(cells[first + i] for i in range(4)), strict=True)
        assert max(rows) - min(rows) == max(columns) - min(columns) == 1


@pytest.mark.parametrize("ranks", [4, 9, 64])
def test_the_largest_patch_is_what_a_rank_is_priced_for(ranks):
    for operator in filters(build("coates-680m")):
        side = int(ranks**0.5)
        patch = [-(-places // side) for places in operator.output]
        part = patch[0] * patch[1] / operator.places
        assert operator.held(ranks) == pytest.approx(part * operator.parameters)
        one, all_ = (
            operator.forward(Share(samples=2, tensor=t, element=4))[0].flop
            for t in (ranks, 1)
        )
        assert one == pytest.approx(part * all_)
        read = [operator.window.reads(places) for places in patch]
        kept = 4 * 2 * operator.channels_in * read[0] * read[1]
        assert operator.saved_bytes(Share(samples=2, tensor=ranks, element=4)) == kept
