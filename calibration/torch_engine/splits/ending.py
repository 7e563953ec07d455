"""What follows the passes: the shared table's gradient, and the norm of all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor


def local_of(tensor: torch.Tensor) -> torch.Tensor:
    """Return what this rank has of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


@torch.no_grad()
def sum_copies(table: nn.Parameter, group: dist.ProcessGroup) -> None:
    """Sum the gradients of a table that first and last stage each hold a copy of."""
    dist.all_reduce(table.grad, group=group)


@torch.no_grad()
def gradient_norm(
    gradients: Iterable[torch.Tensor], groups: Sequence[dist.ProcessGroup]
) -> float:
    """Return the norm of the gradient of the whole model.

    Args:
        gradients: of this rank, those that no other rank of the groups counts.
        groups: in turn, of ranks that hold parts of one copy of the model.
    """
    norms = [local_of(each).float().square().sum() for each in gradients]
    total = torch.stack(norms).sum() if norms else torch.zeros(())
    for group in groups:
        dist.all_reduce(total, group=group)
    return float(total.sqrt())
