"""A server's part of the parameters, and the optimizer that changes it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from calibration.torch_engine.optimizers import make_optimizer
from calibration.torch_engine.serving.pieces import Piece, Pieces
from simulator.plan import Plan
from topologies.units import Count


class Keeper:
    """Pieces of tensors that are kept here; each bucket has an optimizer of its own.

    Fields:
        optimizers: by number of the bucket.
    """

    def __init__(
        self, plan: Plan, parameters: Sequence[nn.Parameter], buckets: Sequence[Pieces]
    ) -> None:
        """Take the first values of all pieces.

        Args:
            plan: whose optimizer they have.
            parameters: of the whole model.
            buckets: what is kept of each.
        """
        self._replicas = plan.parallelism.replicas
        self._buckets = [[each for each in own if each.length] for own in buckets]
        self._held: dict[Piece, nn.Parameter] = {}
        for pieces in self._buckets:
            for each in pieces:
                values = parameters[each.tensor].detach().flatten()
                own = values[each.begin : each.end].to("cpu", copy=True)
                self._held[each] = nn.Parameter(own)
        self.optimizers = [
            make_optimizer(plan, [self._held[each] for each in pieces])
            if pieces
            else None
            for pieces in self._buckets
        ]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What is kept."""
        return list(self._held.values())

    @property
    def count(self) -> Count:
        """Numbers that are kept [1]."""
        return float(sum(each.numel() for each in self.parameters))

    def update(self, number: int, summed: Tensor) -> None:
        """Change what is kept of a bucket by the mean of all workers' gradients."""
        optimizer = self.optimizers[number]
        if optimizer is None:
            return
        pieces = self._buckets[number]
        mean = summed / self._replicas
        for piece, own in zip(
            pieces, mean.split([each.length for each in pieces]), strict=True
        ):
            held = self._held[piece]
            held.grad = own.to(held.dtype)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def values(self, pieces: Pieces, dtype: torch.dtype) -> Tensor:
        """Return what is kept of some pieces, behind one another."""
        own = [self._held[each].detach() for each in pieces if each.length]
        return torch.cat(
            [torch.empty(0, dtype=dtype), *(each.to(dtype) for each in own)]
        )
