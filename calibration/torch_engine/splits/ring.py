"""Attention around a ring: keys and values go from rank to rank, and none has them all.

Forward, a block of keys and values passes c - 1 neighbours, and what each step gives is
merged by its log-sum-exp. Backward it does so again; its gradient follows one step
behind, and goes home at the end: c exchanges, of which those in the middle carry both.

Source: Liu et al., Ring Attention, arXiv:2310.01889, section 3 (from memory).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable
from typing_extensions import override


class Ring(NamedTuple):
    """A rank's place among those that divide the tokens.

    Fields:
        group: of them.
        order: places of every rank's tokens in a sample.
        is_causal: whether a query sees no later key.
    """

    group: dist.ProcessGroup
    order: list[Tensor]
    is_causal: bool

    def hidden(self, step: int) -> Tensor | None:
        """Return which keys of a step's block each query does not see."""
        if not self.is_causal:
            return None
        rank, size = self.group.rank(), self.group.size()
        return self.order[rank][:, None] < self.order[(rank - step) % size][None]

    def passed(self, values: Tensor) -> Tensor:
        """Send values to the next rank and return those of the one before."""
        rank, size = self.group.rank(), self.group.size()
        after = dist.get_global_rank(self.group, (rank + 1) % size)
        before = dist.get_global_rank(self.group, (rank - 1) % size)
        came = torch.empty_like(values, memory_format=torch.contiguous_format)
        sent = dist.isend(values.contiguous(), after, group=self.group)
        dist.irecv(came, before, group=self.group).wait()
        sent.wait()
        return came


def scores_of(queries: Tensor, keys: Tensor, hidden: Tensor | None) -> Tensor:
    """Return the scores of queries against keys; hidden ones are minus infinity."""
    scores = queries @ keys.transpose(-1, -2) * queries.shape[-1] ** -0.5
    return scores if hidden is None else scores.masked_fill(hidden, float("-inf"))


class AroundRing(torch.autograd.Function):
    """Attention over the blocks of all ranks, one after the other."""

    @staticmethod
    @override
    def forward(ctx: Any, queries: Tensor, own: Tensor, ring: Ring) -> Tensor:
        """Return the context of the queries."""
        block = own
        total = queries.new_full((*queries.shape[:-1], 1), float("-inf"))
        context: Tensor | None = None
        for step in range(ring.group.size()):
            if step:
                block = ring.passed(block)
            keys, values = _heads(queries, block)
            scores = scores_of(queries, keys, ring.hidden(step))
            merged = total.logaddexp(scores.logsumexp(-1, keepdim=True))
            # Rows that have seen no key yet stay as they are: nothing.
            finite = merged.masked_fill(merged == float("-inf"), 0.0)
            part = (scores - finite).exp() @ values
            kept = 0.0 if context is None else context * (total - finite).exp()
            context, total = kept + part, merged
        assert context is not None, "a ring has ranks"
        ctx.save_for_backward(queries, own, context, total)
        ctx.ring = ring
        return context

    @staticmethod
    @override
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of queries and of a rank's own keys and values."""
        queries, own, context, total = ctx.saved_tensors
        ring: Ring = ctx.ring
        row = (gradient * context).sum(-1, keepdim=True)
        of_queries = torch.zeros_like(queries)
        block, travelling, at_home = own, None, None
        for step in range(ring.group.size()):
            if step == 1:
                block = ring.passed(block)
            elif travelling is not None:
                both = ring.passed(torch.stack((block, travelling)))
                block, travelling = both.unbind()
            keys, values = _heads(queries, block)
            scores = scores_of(queries, keys, ring.hidden(step))
            probabilities = (scores - total).exp()
            of_scores = gradient @ values.transpose(-1, -2) - row
            of_scores = of_scores * probabilities * queries.shape[-1] ** -0.5
            of_queries += of_scores @ keys
            of_keys = of_scores.transpose(-1, -2) @ queries
            of_values = probabilities.transpose(-1, -2) @ gradient
            part = _grouped(torch.cat((of_keys, of_values), -1), own)
            if step == 0:
                at_home = part
            else:
                travelling = part if travelling is None else travelling + part
        assert at_home is not None, "a ring has ranks"
        if travelling is not None:
            at_home = at_home + ring.passed(travelling)
        return of_queries, at_home, None


def _heads(queries: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
    """Return keys and values of a block, for as many heads as there are of queries."""
    copies = queries.shape[1] // own.shape[1]
    both = own.repeat_interleave(copies, dim=1)
    keys, values = both.tensor_split((queries.shape[-1],), dim=-1)
    return keys, values


def _grouped(gradients: Tensor, own: Tensor) -> Tensor:
    """Return the gradients of the heads that share keys and values, summed."""
    return torch.unflatten(gradients, 1, (own.shape[1], -1)).sum(2)
