"""Context parallelism: ranks divide the tokens of a sample.

Where attention is causal, a balanced rank has a piece from either end of the sample.
Keys and values go around a ring (`ring`), or are gathered here: for forward, and again
for backward, as only a rank's own are kept in between. Their gradients are summed back
to where they came from.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from typing_extensions import override

from calibration.modules import LayerModule
from calibration.modules.attention import Flash, HeadTensors
from calibration.torch_engine.splits.ring import AroundRing, Ring


def places(tokens: int, ranks: int, *, is_balanced: bool) -> list[Tensor]:
    """Return the places in a sample of every rank's tokens.

    Args:
        tokens: of a sample [1].
        ranks: that divide them [1].
        is_balanced: whether each has a piece from either end.
    """
    if not is_balanced:
        return list(torch.arange(tokens).chunk(ranks))
    pieces = torch.arange(tokens).chunk(2 * ranks)
    return [torch.cat((pieces[r], pieces[-1 - r])) for r in range(ranks)]


def divide_tokens(
    layers: list[LayerModule],
    group: dist.ProcessGroup,
    order: list[Tensor],
    *,
    is_ring: bool,
) -> None:
    """Have layers work on this rank's tokens, in place.

    Args:
        layers: of this rank.
        group: of the ranks that divide the tokens.
        order: places of every rank's tokens.
        is_ring: whether keys and values go around, or are gathered.
    """
    own = order[group.rank()]
    for layer in layers:
        for module in layer.children():
            if hasattr(module, "positions"):
                module.positions = own
            if isinstance(module, Flash):
                is_causal = module.operator.is_causal
                mask = own[:, None] >= torch.cat(order)[None] if is_causal else None
                way = (
                    partial(_around, Ring(group, order, is_causal))
                    if is_ring
                    else partial(_over_all, group, mask)
                )
                module.forward = partial(_attended, module, way)  # type: ignore[method-assign]


def _attended(
    module: Flash, way: Callable[[Tensor, Tensor], Tensor], heads: HeadTensors
) -> Tensor:
    """Return attention of a rank's queries over the keys of all."""
    queries, keys, values = heads
    operator = module.operator
    copies = operator.heads // (operator.kv_heads or operator.heads)
    own = torch.cat((keys[:, ::copies], values[:, ::copies]), dim=-1)
    return way(queries, own)


def _around(ring: Ring, queries: Tensor, own: Tensor) -> Tensor:
    context: Tensor = AroundRing.apply(queries, own, ring)
    return context


def _over_all(
    group: dist.ProcessGroup, mask: Tensor | None, queries: Tensor, own: Tensor
) -> Tensor:
    context: Tensor = _OverAll.apply(queries, own, group, mask)
    return context


def _over_gathered(queries: Tensor, gathered: Tensor, mask: Tensor | None) -> Tensor:
    """Return attention over keys and values of all ranks.

    Args:
        queries: samples x heads x tokens x width.
        gathered: ranks x samples x heads x tokens x widths of key and value.
        mask: what each query may see; None for all.
    """
    both = gathered.permute(1, 2, 0, 3, 4).flatten(2, 3)
    both = both.repeat_interleave(queries.shape[1] // both.shape[1], dim=1)
    keys, values = both.tensor_split((queries.shape[-1],), dim=-1)
    return functional.scaled_dot_product_attention(queries, keys, values, mask)


def _gathered(own: Tensor, group: dist.ProcessGroup) -> Tensor:
    whole = own.new_empty((group.size(), *own.shape))
    gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
    gather(whole.flatten(0, 1), own.contiguous(), group=group)
    return whole


class _OverAll(torch.autograd.Function):
    """Attention that keeps a rank's own keys and values only."""

    @staticmethod
    @override
    def forward(
        ctx: Any,
        queries: Tensor,
        own: Tensor,
        group: dist.ProcessGroup,
        mask: Tensor | None,
    ) -> Tensor:
        """Return the context of the queries."""
        ctx.save_for_backward(queries, own)
        ctx.group, ctx.mask = group, mask
        return _over_gathered(queries, _gathered(own, group), mask)

    @staticmethod
    @override
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of queries and of a rank's own keys and values."""
        queries, own = (each.detach() for each in ctx.saved_tensors)
        gathered = _gathered(own, ctx.group)
        with torch.enable_grad():
            inputs = (queries.requires_grad_(), gathered.requires_grad_())
            context = _over_gathered(*inputs, ctx.mask)
        of_queries, of_all = torch.autograd.grad(context, inputs, gradient)
        summed = torch.empty_like(own, memory_format=torch.contiguous_format)
        scatter = getattr(dist, "reduce_scatter_single", None)
        scatter = scatter or dist.reduce_scatter_tensor
        scatter(summed, of_all.contiguous().flatten(0, 1), group=ctx.group)
        return of_queries, summed, None, None
