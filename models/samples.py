"""What does a network take of a sample, and what does its loss compare that with?"""

from __future__ import annotations

import math

from models.functions import Distances, Loss
from models.model import Model
from models.operators import (
    Convolution,
    Elementwise,
    Linear,
    LocallyConnected,
    Operator,
)


def first_operator(model: Model) -> Operator:
    """Return the first operator that is more than element-wise."""
    operators = (each for layer in model.layers for each in layer.operators)
    return next(each for each in operators if not isinstance(each, Elementwise))


def sample_shape(model: Model) -> tuple[int, ...] | None:
    """Return the numbers of a sample: of an image its channels, rows and columns [1].

    None if a sample is not made of numbers alone, but of tokens, say.
    """
    match first_operator(model):
        case Convolution() | LocallyConnected() as first:
            side = math.isqrt(first.inputs // first.channels_in)
            return first.channels_in, side, side
        case Linear(inner=inner):
            return (inner,)
    return None


def rows_and_classes(model: Model) -> tuple[int, int]:
    """Return how many rows of logits a sample has, and how many logits a row."""
    for operator in reversed(model.layers[-1].operators):
        match operator:
            case Linear(rows=rows, columns=columns):
                return rows, columns
            case Elementwise(function=Distances(classes=classes)):
                return 1, classes
    raise AssertionError(model.name)


def loss_kind(model: Model) -> str | None:
    """Return which loss the last layer ends in, if any."""
    last = model.layers[-1].operators[-1]
    function = last.function if isinstance(last, Elementwise) else None
    if isinstance(function, Distances):
        return "distance"
    return function.kind if isinstance(function, Loss) else None
