"""Weight matrices and products of activations as torch modules.

Each is torch's own class where there is one, so that whatever splits those (DTensor)
splits these, and carries its row of the layer table as `operator`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from typing_extensions import override

from calibration.modules.placing import Placing
from models.mixture import ExpertLinear
from models.operators import BatchedProduct, Embedding, EmbeddingBag, Linear


class Matrix(nn.Linear):
    """A weight matrix; one that sees a single row a sample flattens its input."""

    def __init__(self, operator: Linear, place: Placing) -> None:
        super().__init__(
            operator.inner, operator.columns, bias=operator.bias, **place._asdict()
        )
        self.operator = operator

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        """Return X A + b."""
        return super().forward(inputs.flatten(1) if self.operator.rows == 1 else inputs)


class Table(nn.Embedding):
    """A table of tokens; rows of `position embedding` and `token types` go by place.

    `positions` are the places of the tokens in their sample, None for all in order.
    """

    def __init__(self, operator: Embedding, place: Placing) -> None:
        super().__init__(operator.entries, operator.width, **place._asdict())
        self.operator = operator
        self.positions: Tensor | None = None

    @override
    def forward(self, tokens: Tensor) -> Tensor:
        """Return the rows looked up."""
        if self.operator.name == "token types":
            return super().forward(torch.zeros_like(tokens))
        if self.operator.name == "position embedding":
            return super().forward(places_of(tokens, self.positions).expand_as(tokens))
        return super().forward(tokens)


def places_of(tokens: Tensor, positions: Tensor | None) -> Tensor:
    """Return the places of tokens along dimension 1: as given, or in order."""
    if positions is not None:
        return positions
    return torch.arange(tokens.shape[1], device=tokens.device)


class Bag(nn.EmbeddingBag):
    """A table of which a sample reads a few rows and adds them up."""

    def __init__(self, operator: EmbeddingBag, place: Placing) -> None:
        super().__init__(
            operator.entries, operator.width, mode="sum", **place._asdict()
        )
        self.operator = operator


class Scores(nn.Module):
    """Q Kᵀ / sqrt(width) of every head."""

    def __init__(self, operator: BatchedProduct) -> None:
        super().__init__()
        self.operator = operator

    @override
    def forward(self, heads: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return the scores, samples x heads x queries x keys."""
        queries, keys, _ = heads
        scale = 1 / math.sqrt(self.operator.inner)
        return torch.matmul(queries * scale, keys.transpose(-1, -2))


class Context(nn.Module):
    """P V of every head."""

    def __init__(self, operator: BatchedProduct) -> None:
        super().__init__()
        self.operator = operator

    @override
    def forward(
        self, probabilities: Tensor, heads: tuple[Tensor, Tensor, Tensor]
    ) -> Tensor:
        """Return the context, samples x heads x queries x width."""
        return torch.matmul(probabilities, heads[2])


class Square(nn.Module):
    """The products of all pairs of a sample's vectors."""

    def __init__(self, operator: BatchedProduct) -> None:
        super().__init__()
        self.operator = operator

    @override
    def forward(self, vectors: Tensor) -> Tensor:
        """Return V Vᵀ."""
        return torch.bmm(vectors, vectors.transpose(1, 2))


class Routes(NamedTuple):
    """Where the rows of a batch go.

    Fields:
        order: copies of tokens, k in a row each, ordered by expert.
        weights: of every copy in that order.
        samples: of the batch [1].
    """

    order: Tensor
    weights: Tensor
    samples: int


class Experts(nn.Module):
    """One matrix an expert, over equal parts of the rows."""

    def __init__(self, operator: ExpertLinear, place: Placing) -> None:
        super().__init__()
        shape = operator.experts, operator.inner, operator.columns
        self.weight = nn.Parameter(torch.empty(shape, **place._asdict()))
        self.operator = operator

    @override
    def forward(self, rows: Tensor) -> Tensor:
        """Return the rows of all experts, in their order, multiplied."""
        experts, inner, _ = self.weight.shape
        return torch.bmm(rows.view(experts, -1, inner), self.weight).flatten(0, 1)
