"""What follows the passes: sums of gradients, of a shared table's, and their norm."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor
from torch.futures import Future

from calibration.torch_engine.splits.replicas import Copies, summed


def local_of(tensor: torch.Tensor) -> torch.Tensor:
    """Return what this rank has of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


class Sum(NamedTuple):
    """Gradients on their way to be summed.

    Fields:
        gradients: to be replaced.
        total: of them, in one tensor.
        work: to wait for; None if there is nobody else.
    """

    gradients: list[torch.Tensor]
    total: torch.Tensor
    work: Future[Any] | None

    @torch.no_grad()
    def finish(self) -> None:
        """Wait for the sum, and lay it down."""
        if self.work is not None:
            self.work.wait()
        sizes = [each.numel() for each in self.gradients]
        for gradient, total in zip(
            self.gradients, self.total.split(sizes), strict=True
        ):
            gradient.copy_(total.view_as(gradient))


@torch.no_grad()
def begin_sum(
    parameters: Iterable[nn.Parameter],
    copies: Copies | None,
    dtype: torch.dtype,
    divisor: int = 1,
) -> Sum:
    """Begin to sum gradients over ranks in one message.

    Args:
        parameters: whose gradients are complete on this rank.
        copies: the ranks, and what sums between them; None if there is no other.
        dtype: in which they are sent.
        divisor: of the sums [1].
    """
    gradients = [local_of(each.grad) for each in parameters if each.grad is not None]
    flat = torch.cat([each.flatten().to(dtype) for each in gradients]).div_(divisor)
    work = None if copies is None else summed(flat, copies)
    return Sum(gradients, flat, work)


def sum_gradients(
    parameters: Iterable[nn.Parameter],
    copies: Copies | None,
    dtype: torch.dtype,
    divisor: int = 1,
) -> None:
    """Sum gradients over ranks in one message; see `begin_sum`."""
    begin_sum(parameters, copies, dtype, divisor).finish()


@torch.no_grad()
def sum_copies(table: nn.Parameter, group: dist.ProcessGroup) -> None:
    """Sum the gradients of a table that first and last stage each hold a copy of."""
    dist.all_reduce(local_of(table.grad), group=group)


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
