"""Data parallelism: gradients averaged in DDP's buckets, or at the end."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from topologies.units import Bytes, number_in


def replicate(
    module: nn.Module, group: dist.ProcessGroup, bucket: Bytes, dtype: torch.dtype
) -> DistributedDataParallel:
    """Return a module whose gradients are averaged while its backward goes on.

    Args:
        module: the same on all ranks of the group.
        group: of the replicas.
        bucket: gradients that are summed together [B].
        dtype: in which they are sent.
    """
    replicated = DistributedDataParallel(
        module,
        process_group=group,
        bucket_cap_mb=number_in(bucket, "MiB"),
        broadcast_buffers=False,
        init_sync=False,  # all ranks drew the same numbers
    )
    if any(parameter.dtype != dtype for parameter in module.parameters()):
        # DDP would take the text of an annotation for the wrong class.
        hook = lambda _, bucket: _converted(group, dtype, bucket)  # noqa: E731 - it has none
        replicated.register_comm_hook(None, hook)
    return replicated


def _converted(
    group: dist.ProcessGroup, dtype: torch.dtype, bucket: dist.GradBucket
) -> torch.futures.Future[torch.Tensor]:
    """Average a bucket in another number format (DDP's compression hooks)."""
    gradients = bucket.buffer()
    sent = gradients.to(dtype).div_(group.size())
    future = dist.all_reduce(sent, group=group, async_op=True).get_future()
    return future.then(partial(_copied_back, gradients))


def _copied_back(
    gradients: torch.Tensor, future: torch.futures.Future[Any]
) -> torch.Tensor:
    return gradients.copy_(future.value()[0])


@torch.no_grad()
def average(
    parameters: Iterable[nn.Parameter], group: dist.ProcessGroup, dtype: torch.dtype
) -> None:
    """Average all gradients in one message.

    Args:
        parameters: whose gradients are complete.
        group: of the replicas.
        dtype: in which they are sent.
    """
    gradients = [each.grad for each in parameters if each.grad is not None]
    flat = torch.cat([each.flatten().to(dtype) for each in gradients])
    dist.all_reduce(flat.div_(group.size()), group=group)
    sizes = [each.numel() for each in gradients]
    for gradient, mean in zip(gradients, flat.split(sizes), strict=True):
        gradient.copy_(mean.view_as(gradient))
