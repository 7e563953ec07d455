"""What a rank has learnt, and which of it no other rank counts."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

from calibration.torch_engine.building import Local
from calibration.torch_engine.groups import Groups


def counted(local: Local, groups: Groups) -> set[int]:
    """Return, by `id`, the parameters that no other rank counts in the norm."""
    is_copy = local.table is not None and groups.pipeline > 0
    if groups.has("copies") and 2 * groups.pipeline >= groups.degrees.pipeline:
        return set()
    return {
        id(each)
        for name, each in local.parameters().items()
        if (name in local.divided or groups.tensor == 0)
        and not (is_copy and name == local.table)
    }


def learnt(local: Local, groups: Groups) -> dict[str, Any]:
    """Return whole parameters by name."""
    found = {}
    for name, each in local.parameters().items():
        whole = each.detach()
        if isinstance(whole, DTensor):
            whole = whole.full_tensor()
        for axis, dim in reversed(local.divided.get(name, ())):
            group = groups.group(axis)
            parts = [torch.empty_like(whole) for _ in range(group.size())]
            dist.all_gather(parts, whole.contiguous(), group=group)
            whole = torch.cat(parts, dim)
        found[name] = whole.float().cpu().numpy()
    return found
