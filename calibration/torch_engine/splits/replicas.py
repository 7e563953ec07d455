"""Data parallelism: gradients averaged in DDP's buckets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from topologies.units import Bytes, number_in


def replicate(
    module: nn.Module,
    group: dist.ProcessGroup,
    bucket: Bytes,
    dtype: torch.dtype,
    others: Sequence[nn.Parameter] = (),
) -> DistributedDataParallel:
    """Return a module whose gradients are averaged while its backward goes on.

    Args:
        module: the same on all ranks of the group.
        group: of the replicas.
        bucket: gradients that are summed together [B].
        dtype: in which they are sent.
        others: parameters that differ between the ranks, and are left alone.
    """
    names = [
        name
        for name, each in module.named_parameters()
        if any(each is other for other in others)
    ]
    ignoring = DistributedDataParallel._set_params_and_buffers_to_ignore_for_model  # noqa: SLF001 - torch names no other way
    ignoring(module, names)
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
