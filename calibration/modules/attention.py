"""The core of attention and the layout of its heads, as torch modules.

Nothing here knows how many heads there are: a rank that holds some of them runs the
same module over fewer columns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from calibration.modules.placing import Placing
from calibration.modules.products import places_of
from models.flash_attention import FlashAttention
from models.functions import HeadGains, HeadNorm, Heads, LatentHeads
from models.softmax import MaskedSoftmax

ROTARY_BASE = 10_000.0
"""Of the angles by which positions rotate: Su et al., arXiv:2104.09864 (memory)."""

HeadTensors = tuple[Tensor, Tensor, Tensor]
"""Queries, keys and values: samples x heads x tokens x width."""


def rotated(heads: Tensor, positions: Tensor) -> Tensor:
    """Return heads (samples x tokens x heads x width) rotated by the tokens' places."""
    half = heads.shape[-1] // 2
    exponents = torch.arange(half, device=heads.device, dtype=torch.float32) / half
    angles = positions.float()[:, None] * ROTARY_BASE**-exponents
    cosine = angles.cos()[:, None, :].to(heads.dtype)
    sine = angles.sin()[:, None, :].to(heads.dtype)
    first, second = heads[..., :half], heads[..., half : 2 * half]
    return torch.cat(
        (first * cosine - second * sine, second * cosine + first * sine), dim=-1
    )


class HeadLayout(nn.Module):
    """Queries, keys and values of all heads out of the columns of one product."""

    def __init__(self, function: Heads) -> None:
        super().__init__()
        self.function = function
        self.positions: Tensor | None = None

    @override
    def forward(self, columns: Tensor) -> HeadTensors:
        """Return q, k and v of the heads that the columns hold."""
        function = self.function
        per_group = function.per_group
        groups = torch.unflatten(columns, -1, (-1, per_group + 2, function.width))
        queries = groups[..., :per_group, :].flatten(2, 3)
        keys, values = groups[..., per_group, :], groups[..., per_group + 1, :]
        if function.is_rotary:
            places = places_of(columns, self.positions)
            queries, keys = rotated(queries, places), rotated(keys, places)
        if per_group > 1:
            keys = keys.repeat_interleave(per_group, dim=2)
            values = values.repeat_interleave(per_group, dim=2)
        return queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2)


class LatentLayout(nn.Module):
    """Queries, keys and values of latent attention."""

    def __init__(self, function: LatentHeads) -> None:
        super().__init__()
        self.function = function
        self.positions: Tensor | None = None

    @override
    def forward(
        self, queries: Tensor, keys_values: Tensor, down: Tensor
    ) -> HeadTensors:
        """Return q, k and v of the heads that the columns hold."""
        plain, rotary, value = (
            self.function.plain,
            self.function.rotary,
            self.function.value,
        )
        places = places_of(queries, self.positions)
        heads = torch.unflatten(queries, -1, (-1, plain + rotary))
        both = torch.unflatten(keys_values, -1, (-1, plain + value))
        shared = rotated(down[..., None, -rotary:], places)
        shared = shared.expand(-1, -1, heads.shape[2], -1)
        turned = rotated(heads[..., plain:], places)
        q = torch.cat((heads[..., :plain], turned), dim=-1)
        k = torch.cat((both[..., :plain], shared), dim=-1)
        v = both[..., plain:]
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)


class JoinHeads(nn.Module):
    """The heads of a token side by side."""

    @override
    def forward(self, context: Tensor) -> Tensor:
        """Return samples x tokens x columns."""
        return context.transpose(1, 2).flatten(2)


class HeadNormed(nn.Module):
    """RMS normalisation of queries and keys, head by head; values pass."""

    def __init__(self, function: HeadNorm) -> None:
        super().__init__()
        self.function = function
        self.heads = function.per_group + 2

    @override
    def forward(self, columns: Tensor) -> Tensor:
        """Return the columns of a `HeadLayout`, normalised."""
        width = self.function.width
        groups = torch.unflatten(columns, -1, (-1, self.heads, width))
        normalised = functional.rms_norm(groups[..., :-1, :], (width,))
        return torch.cat((normalised, groups[..., -1:, :]), dim=-2).flatten(-3)


class HeadGained(nn.Module):
    """The gains of normalised queries and keys, which every rank holds whole."""

    def __init__(self, function: HeadGains, place: Placing) -> None:
        super().__init__()
        self.heads = function.per_group + 2
        self.queries = nn.Parameter(torch.empty(function.width, **place._asdict()))
        self.keys = nn.Parameter(torch.empty(function.width, **place._asdict()))

    @override
    def forward(self, columns: Tensor) -> Tensor:
        """Return the columns of a `HeadLayout`, scaled."""
        width = self.queries.shape[0]
        groups = torch.unflatten(columns, -1, (-1, self.heads, width))
        scaled = (
            groups[..., :-2, :] * self.queries,
            groups[..., -2:-1, :] * self.keys,
            groups[..., -1:, :],
        )
        return torch.cat(scaled, dim=-2).flatten(-3)


class Softmax(nn.Module):
    """Masked softmax over squares of scores."""

    def __init__(self, operator: MaskedSoftmax) -> None:
        super().__init__()
        self.operator = operator

    @override
    def forward(self, scores: Tensor) -> Tensor:
        """Return the probabilities."""
        if self.operator.is_causal:
            square = scores.shape[-2:]
            above = torch.ones(square, dtype=torch.bool, device=scores.device).triu(1)
            scores = scores.masked_fill(above, float("-inf"))
        return scores.softmax(-1)


class Flash(nn.Module):
    """Attention in one kernel."""

    def __init__(self, operator: FlashAttention) -> None:
        super().__init__()
        self.operator = operator

    @override
    def forward(self, heads: HeadTensors) -> Tensor:
        """Return the context, samples x heads x tokens x width."""
        queries, keys, values = heads
        return functional.scaled_dot_product_attention(
            queries, keys, values, is_causal=self.operator.is_causal
        )
