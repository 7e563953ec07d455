"""Blocks of whole samples among others whose tokens ranks divide.

Tokens are gathered before such a block, and a rank's own handed on behind it; backward,
gradients of tokens are summed to the rank that they came from.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable
from typing_extensions import override

from calibration.modules import LayerModule
from calibration.torch_engine.splits.neurons import begin_scattering, gathered


def keep_whole(
    layer: LayerModule, group: dist.ProcessGroup, order: list[Tensor]
) -> None:
    """Have a block work on all tokens, in place, between others that do not.

    Args:
        layer: takes and puts out samples x tokens x features.
        group: of the ranks that divide the tokens.
        order: places of every rank's tokens.
    """
    layer.forward = partial(_over_all, layer.forward, group, order)  # type: ignore[method-assign]


def _over_all(
    forward: Any, group: dist.ProcessGroup, order: list[Tensor], own: Tensor
) -> Tensor:
    places = torch.cat(order)
    whole: Tensor = _Gathered.apply(own, group)
    whole = whole.index_select(1, places.argsort())
    put_out: Tensor = forward(whole).index_select(1, order[group.rank()])
    return put_out


class _Gathered(torch.autograd.Function):
    """The tokens of all ranks, one rank's behind the other's."""

    @staticmethod
    @override
    def forward(ctx: Any, own: Tensor, group: dist.ProcessGroup) -> Tensor:
        """Return samples x all tokens x features."""
        ctx.group = group
        return gathered(own.transpose(0, 1), group).transpose(0, 1)

    @staticmethod
    @override
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the sum of all ranks' gradients of a rank's own tokens."""
        summed, work = begin_scattering(gradient.transpose(0, 1), ctx.group)
        work.wait()
        return summed.transpose(0, 1), None
