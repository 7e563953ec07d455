"""The trained tensors of an operator, as torch registers them: weight before bias.

Whoever fuses gradients into buckets cuts between tensors and not between layers, so
the sizes of tensors are part of the description.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from models.functions import HeadGains, Normalisation
from models.mixture import ExpertLinear
from models.model import Layer
from models.operators import (
    Convolution,
    Elementwise,
    Embedding,
    EmbeddingBag,
    Linear,
    LocallyConnected,
    Lstm,
    Operator,
)


class Tensor(NamedTuple):
    """A trained tensor.

    Fields:
        name: within its operator.
        shape: before any split [1].
    """

    name: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Numbers [1]."""
        return prod(self.shape)


def layer_tensors(layer: Layer) -> tuple[Tensor, ...]:
    """Return the tensors that a layer owns, in order of registration."""
    return tuple(each for operator in layer.operators for each in tensors(operator))


def tensors(operator: Operator) -> tuple[Tensor, ...]:
    """Return the tensors that an operator owns; their sizes add to its parameters."""
    match operator:
        case Linear():
            return _linear(operator)
        case ExpertLinear():
            shape = operator.experts, operator.inner, operator.columns
            return (Tensor("weight", shape),)
        case Embedding() | EmbeddingBag():
            return (Tensor("weight", (operator.entries, operator.width)),)
        case Convolution():
            return _convolution(operator)
        case LocallyConnected():
            inner = operator.channels_in * operator.window.size**2
            shape = operator.places, inner, operator.channels_out
            return (Tensor("weight", shape),)
        case Lstm():
            return _lstm(operator)
        case Elementwise():
            return _elementwise(operator)
    return ()


def _linear(operator: Linear) -> tuple[Tensor, ...]:
    weight = Tensor("weight", (operator.columns, operator.inner))
    bias = Tensor("bias", (operator.columns,))
    return (weight,) * operator.owns_weight + (bias,) * operator.bias


def _convolution(operator: Convolution) -> tuple[Tensor, ...]:
    inner = operator.channels_in // operator.groups
    weight = Tensor("weight", (operator.channels_out, inner, *operator.kernel))
    return (weight, *(Tensor("bias", (operator.channels_out,)),) * operator.bias)


def _lstm(operator: Lstm) -> tuple[Tensor, ...]:
    """Return the weights of inputs and states and a bias each, of all four gates."""
    gates = 4 * operator.hidden
    return (
        Tensor("weight_ih_l0", (gates, operator.inner)),
        Tensor("weight_hh_l0", (gates, operator.hidden)),
        Tensor("bias_ih_l0", (gates,)),
        Tensor("bias_hh_l0", (gates,)),
    )


def _elementwise(operator: Elementwise) -> tuple[Tensor, ...]:
    """Return gain and bias, or the gain alone, where the operator has parameters."""
    if not operator.parameters:
        return ()
    match operator.function:
        case Normalisation(kind="rms", width=width):
            return (Tensor("weight", (width,)),)
        case HeadGains(width=width):
            return Tensor("queries", (width,)), Tensor("keys", (width,))
    half = operator.parameters // 2
    return Tensor("weight", (half,)), Tensor("bias", (half,))
