"""What follows the passes: the shared table's gradient, and the norm of all."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import nn


@torch.no_grad()
def sum_copies(table: nn.Parameter, group: dist.ProcessGroup) -> None:
    """Sum the gradients of a table that first and last stage each hold a copy of."""
    dist.all_reduce(table.grad, group=group)


@torch.no_grad()
def gradient_norm(
    parameters: Iterable[nn.Parameter],
    counted: set[int],
    group: dist.ProcessGroup | None,
) -> float:
    """Return the norm of the gradient of the whole model.

    Args:
        parameters: of this rank.
        counted: by `id`, those that no other rank of the group counts.
        group: of ranks that hold one copy of the model; None if this rank does.
    """
    norms = [
        each.grad.float().square().sum()
        for each in parameters
        if each.grad is not None and id(each) in counted
    ]
    total = torch.stack(norms).sum() if norms else torch.zeros(())
    if group is not None:
        dist.all_reduce(total, group=group)
    return float(total.sqrt())
