"""What tensor and sequence parallelism divide, and what they leave whole."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.catalogue import build
from models.mlp import mlp
from models.operators import Linear, Split
from models.work import Share

TRANSFORMERS = ["gpt2", "bert-large", "llama3-8b"]
MATRICES = {Split.COLUMN, Split.ROW, Split.INNER}


def _all_works(operator, share):
    return (
        *operator.forward(share),
        *operator.backward_input(share),
        *operator.backward_weight(share),
    )


# Powers of two divide a binary float without rounding; the other degrees round.
@pytest.mark.parametrize("name", TRANSFORMERS)
@given(degree=st.integers(1, 64))
@settings(derandomize=True, deadline=None, max_examples=25)
def test_flop_of_all_tensor_ranks_are_those_of_the_whole(name, degree):
    model = build(name)
    for layer in (model.layers[1], model.layers[-1]):
        for operator in layer.operators:
            if operator.split not in MATRICES:
                continue
            whole = _all_works(operator, Share(samples=2))
            parts = _all_works(operator, Share(samples=2, tensor=degree))
            for one, part in zip(whole, parts, strict=True):
                if degree & (degree - 1) == 0:
                    assert one.flop == degree * part.flop
                assert one.flop == pytest.approx(degree * part.flop, rel=1e-12)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_replicated_operators_are_divided_by_sequence_parallelism_only(name):
    model = build(name)
    for layer in (model.layers[1], model.layers[-1]):
        for operator in layer.operators:
            if operator.split is not Split.NONE:
                continue
            whole = operator.forward(Share(samples=2))
            tensor = operator.forward(Share(samples=2, tensor=4))
            sequence = operator.forward(Share(samples=2, tensor=4, sequence=4))
            assert [w.flop for w in whole] == [w.flop for w in tensor]
            assert [w.size for w in whole] == [w.size for w in tensor]
            assert [w.flop for w in whole] == [4 * w.flop for w in sequence]


@pytest.mark.parametrize(
    ("num_matrices", "splits"),
    [
        (1, [Split.NONE]),
        (2, [Split.COLUMN, Split.ROW]),
        (3, [Split.COLUMN, Split.ROW, Split.NONE]),
        (4, [Split.COLUMN, Split.ROW, Split.COLUMN, Split.ROW]),
    ],
)
def test_mlp_splits_its_matrices_in_pairs(num_matrices, splits):
    model = mlp((8,) * (num_matrices + 1))
    linears = [layer.operators[0] for layer in model.layers]
    assert splits == [linear.split for linear in linears]
    inside = {Split.COLUMN: Split.INNER, Split.ROW: Split.NONE}
    for layer in model.layers[:-1]:
        linear, activation = layer.operators
        assert inside[linear.split] == activation.split


@given(widths=st.lists(st.integers(1, 300), min_size=2, max_size=8))
@settings(derandomize=True, deadline=None, max_examples=50)
def test_mlp_counts_follow_from_its_widths(widths):
    model = mlp(widths)
    pairs = list(itertools.pairwise(widths))
    matrices = sum(a * b for a, b in pairs)
    assert matrices + sum(widths[1:]) == model.parameters
    assert 2 * matrices == model.forward_flop()
    # The first matrix needs no gradient of its input.
    assert 4 * matrices - 2 * widths[0] * widths[1] == model.backward_flop()
    assert widths[1:] == [layer.output_elements for layer in model.layers]


def test_convolutional_networks_cannot_be_split():
    assert not build("resnet50").can_split_tensors
    assert build("gpt2").can_split_tensors


def test_shares_may_be_arrays():
    samples = np.array([1.0, 2.0, 4.0])
    tensor = np.array([1.0, 2.0, 4.0])
    linear = Linear("x", 16, 32, 64, split=Split.COLUMN)
    (work,) = linear.forward(Share(samples=samples, tensor=tensor, sequence=tensor))
    assert list(work.flop) == [2.0 * 16 * 32 * 64] * 3
