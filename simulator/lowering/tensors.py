"""The parameter tensors of a layer, as torch has them, in the order of their gradients.

Backward goes through operators in reverse. Within one, autograd is done with a matrix'
bias before its weight, and with a norm's gain before its bias.
"""

from __future__ import annotations

from models.functions import HeadGains, Normalisation
from models.mixture import ExpertLinear
from models.model import Layer
from models.operators import Elementwise, Linear, Operator, Split
from models.tensors import tensors
from simulator.lowering.stages import local_parameters, tied_parameters
from topologies.units import Count

_TWO_TENSORS = ("layer", "batch", "instance")  # norms with a gain and a bias


def layer_tensors(
    layer: Layer, tensor: float, expert: float = 1, *, is_tied_copy: bool
) -> tuple[Count, ...]:
    """Return the sizes of a layer's parameter tensors on one tensor rank [1].

    Those of experts that not all replicas hold are left out.

    Args:
        layer: the layer.
        tensor: t, tensor-parallel degree [1].
        expert: e, expert-parallel degree [1].
        is_tied_copy: whether a layer tied to one of another stage needs its own copy
            of the shared table here.
    """
    sizes: list[Count] = []
    for operator in reversed(layer.operators):
        if expert > 1 and isinstance(operator, ExpertLinear):
            continue
        sizes += operator_tensors(operator, tensor)
        is_tied = isinstance(operator, Linear) and not operator.owns_weight
        if is_tied and is_tied_copy and layer.tied_to is not None:
            sizes.append(tied_parameters(layer, tensor))
    return tuple(sizes)


def operator_tensors(operator: Operator, tensor: float) -> tuple[Count, ...]:
    """Return the sizes of an operator's parameter tensors on one tensor rank [1]."""
    total = local_parameters(operator, tensor)
    if not total:
        return ()
    if isinstance(operator, Linear) and operator.bias:
        bias = operator.columns / (tensor if operator.split is Split.COLUMN else 1)
        return (bias, total - bias) if operator.owns_weight else (bias,)
    if isinstance(operator, Elementwise) and _has_two(operator):
        return (total / 2, total / 2)
    return (total,)


def padding(operator: Operator, tensor: int, shards: int) -> Count:
    """Return the numbers that fill an operator's tensors up to equal parts [1].

    Dimension 0 of each is cut, of rows on a tensor rank.

    Args:
        operator: of a layer.
        tensor: t, tensor-parallel degree [1].
        shards: s, ranks that divide each tensor [1].
    """
    split = operator.split if tensor > 1 else Split.NONE
    filled = 0.0
    for each in tensors(operator):
        rows, width = each.shape[0], each.elements / each.shape[0]
        if isinstance(operator, ExpertLinear):
            width /= tensor  # dimension 0 is that of the experts
        elif split in {Split.COLUMN, Split.VOCABULARY}:
            rows //= tensor
        elif split is Split.ROW and len(each.shape) > 1:
            width /= tensor
        filled += -rows % shards * width
    return filled


def tied_padding(layer: Layer, tensor: int, shards: int) -> Count:
    """Return the numbers that fill a layer's copy of a shared table up [1].

    Args:
        layer: tied to one of another stage.
        tensor: t, tensor-parallel degree [1].
        shards: s, ranks that divide the table [1].
    """
    return sum(
        -(operator.columns // tensor) % shards * operator.inner
        for operator in layer.operators
        if isinstance(operator, Linear) and not operator.owns_weight
    )


def _has_two(operator: Elementwise) -> bool:
    function = operator.function
    if isinstance(function, Normalisation):
        return function.kind in _TWO_TENSORS
    return isinstance(function, HeadGains)
