"""Cutting a model into pipeline stages, and what one device of a stage holds.

Blocks are divided evenly, or as a plan says; the embedding goes to the first stage,
the head to the last.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from models.mixture import ExpertLinear
from models.model import Layer, Model
from models.operators import Embedding, Linear, LocallyConnected, Operator, Split


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """Consecutive layers of one virtual stage.

    Fields:
        index: 0 … p·v - 1.
        layers: in forward order.
    """

    index: int
    layers: tuple[Layer, ...]

    def runs(self) -> list[tuple[Layer, int]]:
        """Return (layer, count) of equal neighbours, in forward order."""
        return [(layer, len(list(same))) for layer, same in groupby(self.layers)]


def cut(
    model: Model, num_stages: int, sizes: tuple[int, ...] | None = None
) -> tuple[Stage, ...]:
    """Return the model's stages.

    Args:
        model: to be cut between its blocks.
        num_stages: p·v, virtual stages in all [1].
        sizes: blocks of each stage; left out, equally many, which must come out even.
    """
    before = tuple(layer for layer in model.layers if layer.role == "embedding")
    blocks = tuple(layer for layer in model.layers if layer.role == "block")
    after = tuple(layer for layer in model.layers if layer.role == "head")
    if sizes is None:
        sizes = (len(blocks) // num_stages,) * num_stages
    stages = []
    begin = 0
    for index, size in enumerate(sizes):
        layers = blocks[begin : begin + size]
        begin += size
        if index == 0:
            layers = (*before, *layers)
        if index == num_stages - 1:
            layers = (*layers, *after)
        stages.append(Stage(index, layers))
    return tuple(stages)


def local_parameters(operator: Operator, tensor: float, expert: float = 1) -> float:
    """Return the parameters that one tensor rank holds [1].

    Row-split weights keep their whole bias on every rank, as Megatron does; of places,
    the rank with the largest patch counts.

    Args:
        operator: of a layer.
        tensor: t, tensor-parallel degree [1].
        expert: e, expert-parallel degree [1].
    """
    if isinstance(operator, ExpertLinear):
        return operator.parameters / (tensor * expert)
    if operator.split is Split.NONE:
        return operator.parameters
    if isinstance(operator, LocallyConnected):
        return operator.held(tensor)
    if isinstance(operator, Linear) and operator.split is Split.ROW and operator.bias:
        return (operator.parameters - operator.columns) / tensor + operator.columns
    return operator.parameters / tensor


def layer_parameters(
    layer: Layer, tensor: float, expert: float = 1, *, is_tied_copy: bool
) -> float:
    """Return a layer's parameters on one tensor rank [1].

    Args:
        layer: the layer.
        tensor: t, tensor-parallel degree [1].
        expert: e, expert-parallel degree [1].
        is_tied_copy: whether a layer tied to one of another stage needs its own copy
            of the shared table here.
    """
    operators = layer.operators
    total = sum(local_parameters(operator, tensor, expert) for operator in operators)
    if is_tied_copy and layer.tied_to is not None:
        total += tied_parameters(layer, tensor)
    return total


def expert_parameters(layer: Layer, tensor: float, expert: float) -> float:
    """Return those of a layer's parameters here that not all replicas hold [1].

    Their gradients are summed apart from the others; without expert parallelism there
    are none.

    Args:
        layer: the layer.
        tensor: t, tensor-parallel degree [1].
        expert: e, expert-parallel degree [1].
    """
    return layer.expert_parameters / (tensor * expert) if expert > 1 else 0.0


def tied_parameters(layer: Layer, tensor: float) -> float:
    """Return the parameters of the shared table on one tensor rank [1]."""
    return sum(
        operator.inner * operator.columns / tensor
        for operator in layer.operators
        if isinstance(operator, Linear) and not operator.owns_weight
    )


def replicated_parameters(layer: Layer) -> float:
    """Return the parameters that every tensor rank holds whole [1].

    Under sequence parallelism their gradients are partial sums over the tensor ranks.
    """
    total = 0.0
    for operator in layer.operators:
        if isinstance(operator, Embedding):
            continue  # every rank looks up all tokens, so its gradient is whole
        if operator.split is Split.NONE:
            total += operator.parameters
        elif isinstance(operator, Linear) and operator.split is Split.ROW:
            total += operator.columns if operator.bias else 0
    return total
