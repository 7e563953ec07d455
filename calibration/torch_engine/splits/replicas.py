"""Data parallelism: gradients averaged in DDP's buckets, or at the end.

Who adds them up is torch, or a `Carriage`, where the plan names the sends.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from calibration.torch_engine.splits.carried import Carriage
from topologies.units import Bytes, number_in


class Copies(NamedTuple):
    """Ranks with the same parameters.

    Fields:
        group: of them.
        carriage: what sums their gradients; torch if None.
    """

    group: dist.ProcessGroup
    carriage: Carriage | None = None


def replicate(
    module: nn.Module,
    copies: Copies,
    bucket: Bytes,
    dtype: torch.dtype,
    others: Sequence[nn.Parameter] = (),
) -> DistributedDataParallel:
    """Return a module whose gradients are averaged while its backward goes on.

    Args:
        module: the same on all ranks of the group.
        copies: ranks that have it, and what sums between them.
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
        process_group=copies.group,
        bucket_cap_mb=number_in(bucket, "MiB"),
        broadcast_buffers=False,
        init_sync=False,  # all ranks drew the same numbers
    )
    is_other = any(parameter.dtype != dtype for parameter in module.parameters())
    if is_other or copies.carriage is not None:
        # DDP would take the text of an annotation for the wrong class.
        hook = lambda _, bucket: _converted(copies, dtype, bucket)  # noqa: E731 - it has none
        replicated.register_comm_hook(None, hook)
    return replicated


def _converted(
    copies: Copies, dtype: torch.dtype, bucket: dist.GradBucket
) -> torch.futures.Future[torch.Tensor]:
    """Average a bucket in a number format (DDP's compression hooks)."""
    gradients = bucket.buffer()
    sent = gradients.to(dtype).div_(copies.group.size())
    future = summed(sent, copies)
    return future.then(partial(_copied_back, gradients))


def summed(tensor: torch.Tensor, copies: Copies) -> torch.futures.Future[Any]:
    """Begin to sum a tensor over replicas; return what to wait for."""
    if copies.carriage is not None and copies.carriage.knows(tensor):
        return copies.carriage.begin(tensor)
    return dist.all_reduce(tensor, group=copies.group, async_op=True).get_future()


def _copied_back(
    gradients: torch.Tensor, future: torch.futures.Future[Any]
) -> torch.Tensor:
    found = future.value()
    return gradients.copy_(found if isinstance(found, torch.Tensor) else found[0])
