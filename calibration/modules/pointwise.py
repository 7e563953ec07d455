"""What stands between the products: activations, norms, sums, dropouts, routes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from calibration.modules.placing import Placing
from calibration.modules.products import Routes
from models.functions import Activation, Normalisation, Routing
from models.mixture import TokenExchange

_LEAK = 0.01  # slope below zero, torch's default


class Activate(nn.Module):
    """A function of every number by itself."""

    def __init__(self, function: Activation) -> None:
        super().__init__()
        self.kind = function.kind

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        """Return as many numbers."""
        match self.kind:
            case "relu":
                return inputs.relu()
            case "leaky relu":
                return functional.leaky_relu(inputs, _LEAK)
            case "gelu":
                return functional.gelu(inputs)
            case "tanh":
                return inputs.tanh()


class Gated(nn.Module):
    """silu(gate) · up, of features that hold both in alternating blocks."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    @override
    def forward(self, both: Tensor, routes: Routes | None = None) -> Tensor:
        """Return half as many features, of rows scaled by their routes."""
        gate, up = torch.unflatten(both, -1, (-1, 2, self.block)).unbind(-2)
        product = (functional.silu(gate) * up).flatten(-2)
        return product if routes is None else product * routes.weights[:, None]


class LayerNormed(nn.LayerNorm):
    """Layer norm over the features of a token."""

    def __init__(self, function: Normalisation, place: Placing) -> None:
        super().__init__(function.width, **place._asdict())


class RmsNormed(nn.RMSNorm):
    """RMS norm over some features of a token."""

    def __init__(self, function: Normalisation, place: Placing) -> None:
        super().__init__(function.width, eps=1e-6, **place._asdict())
        self.function = function

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        """Return the features that the norm reads, normalised."""
        if inputs.shape[-1] == self.function.width:
            return super().forward(inputs)
        return super().forward(
            inputs.narrow(-1, self.function.start, self.function.width)
        )


class Sum(nn.Module):
    """The sum of its arguments, the first dropped out before."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout

    @override
    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        """Return the sum."""
        if self.dropout:
            first = functional.dropout(first, self.dropout, self.training)
        for other in others:
            first = first + other
        return first


class Dropped(nn.Module):
    """Zeros at random places, or in random maps as a whole."""

    def __init__(self, probability: float, *, of_maps: bool) -> None:
        super().__init__()
        self.probability = probability
        self.of_maps = of_maps

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        """Return the inputs, some of them zero and the others scaled."""
        if not self.probability:
            return inputs
        drop = functional.dropout2d if self.of_maps else functional.dropout
        return drop(inputs, self.probability, self.training)


class Route(nn.Module):
    """The choice of experts: balanced by construction, as the layer table assumes.

    Copy j of token i goes to expert (i k + j) mod E, whatever its scores; the softmax
    over the scores of a token's experts weighs them, so that the router learns. The
    choice depends on nothing but the token's place, so no split changes it.
    """

    def __init__(self, function: Routing) -> None:
        super().__init__()
        self.function = function
        self.positions: Tensor | None = None

    @override
    def forward(self, scores: Tensor) -> Routes:
        """Return the order of all copies by expert, and their weights."""
        experts, copies = self.function.experts, self.function.top_k
        places = self.positions
        if places is None:
            places = torch.arange(scores.shape[1], device=scores.device)
        numbers = torch.arange(copies, device=scores.device)
        chosen = (places[:, None] * copies + numbers) % experts
        chosen = chosen.expand(scores.shape[0], -1, -1)
        weights = scores.gather(-1, chosen).softmax(-1).flatten()
        order = chosen.flatten().argsort(stable=True)
        return Routes(order, weights[order], scores.shape[0])


class Dispatch(nn.Module):
    """Copies tokens to the rows of their experts."""

    def __init__(self, operator: TokenExchange) -> None:
        super().__init__()
        self.operator = operator

    @override
    def forward(self, tokens: Tensor, routes: Routes) -> Tensor:
        """Return the rows of all experts, one expert after the other."""
        return tokens.flatten(0, 1)[routes.order // self.operator.copies]


class Combine(nn.Module):
    """Sums the rows of every token."""

    def __init__(self, operator: TokenExchange) -> None:
        super().__init__()
        self.operator = operator

    @override
    def forward(self, rows: Tensor, routes: Routes) -> Tensor:
        """Return samples x tokens x width."""
        copies = torch.empty_like(rows).index_copy(0, routes.order, rows)
        summed = torch.unflatten(copies, 0, (-1, self.operator.copies)).sum(1)
        return torch.unflatten(summed, 0, (routes.samples, -1))
