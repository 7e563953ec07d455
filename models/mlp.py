"""Multilayer perceptrons: fully connected layers with ReLU between them.

For tensor parallelism, matrices alternate between column and row splits in pairs, as
in Megatron's feed-forward, so that the ReLU inside a pair stays divided. A matrix
without a partner, the last of an odd number, is replicated.

Limits: every matrix is a layer, so that a pipeline can cut anywhere; `output_elements`
inside a pair is the whole activation, of which a tensor rank holds its part.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from models.classification import cross_entropy
from models.functions import Activation
from models.model import Layer, Model
from models.operators import Elementwise, Linear, Operator, Split


def mlp(widths: Sequence[int] = (784, 512, 10), name: str = "mlp") -> Model:
    """Return a perceptron from `widths[0]` inputs to `widths[-1]` classes.

    Args:
        widths: features of the input and after every matrix [1].
        name: of the model.
    """
    _check(widths)
    num_matrices = len(widths) - 1
    layers: list[Layer] = []
    for number, (inner, columns) in enumerate(pairwise(widths), start=1):
        own = f"fc{number}"
        split = _split(number, num_matrices)
        linear = Linear(
            own, 1, inner, columns, split=split, needs_input_gradient=number > 1
        )
        is_last = number == num_matrices
        after = (
            cross_entropy("cross entropy", columns)
            if is_last
            else _relu(f"{own} relu", columns, split)
        )
        operators: tuple[Operator, ...] = (linear, after)
        layers.append(Layer(own, operators, columns))
    return Model(name, tuple(layers), 1, family="mlp")


def _check(widths: Sequence[int]) -> None:
    if len(widths) < 2:
        raise ValueError(f"widths: {list(widths)} are fewer than an input and a layer")
    for position, width in enumerate(widths):
        if width < 1:
            raise ValueError(f"widths: {width} at position {position} is below 1")


def _split(number: int, num_matrices: int) -> Split:
    """Return the split of matrix `number`, counted from 1."""
    if number == num_matrices and num_matrices % 2:
        return Split.NONE
    return Split.COLUMN if number % 2 else Split.ROW


def _relu(name: str, elements: int, split: Split) -> Elementwise:
    """Return a ReLU in place: reads and writes once; backward reads two, writes one.

    Its output is kept as the next matrix' input.
    """
    return Elementwise(
        name,
        forward_bytes=4.0 * elements,
        backward_bytes=6.0 * elements,
        split=Split.INNER if split is Split.COLUMN else Split.NONE,
        function=Activation("relu"),
    )
