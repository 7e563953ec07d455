"""Dense layers whose neurons the replicas divide: Krizhevsky's hybrid.

A replica has some rows of every weight, which are its neurons. Before every product but
the first the replicas gather its input, and they sum and scatter its gradient; the
logits they gather, and each takes its own part of their gradient, which all have.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from typing_extensions import override

from calibration.modules import LayerModule
from calibration.modules.products import Matrix


def divide_neurons(layers: list[LayerModule], group: dist.ProcessGroup) -> None:
    """Keep a replica's own neurons of dense layers, in place.

    Args:
        layers: the last of a network, with whole parameters.
        group: of the replicas.
    """
    products = [
        module
        for layer in layers
        for module in layer.children()
        if isinstance(module, Matrix)
    ]
    for product in products:
        for parameter in product.parameters():
            part = parameter.data.chunk(group.size())[group.rank()]
            parameter.data = part.clone()
        product.forward = partial(  # type: ignore[method-assign]
            _forward,
            product,
            group,
            is_first=product is products[0],
            is_last=product is products[-1],
        )


def gathered(own: Tensor, group: dist.ProcessGroup) -> Tensor:
    """Return the rows of all ranks, in order of ranks."""
    whole, work = begin_gathering(own, group)
    work.wait()
    return whole


def begin_gathering(own: Tensor, group: dist.ProcessGroup) -> tuple[Tensor, dist.Work]:
    """Return room for the rows of all ranks, and what to wait for."""
    whole = own.new_empty((group.size() * len(own), *own.shape[1:]))
    gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
    return whole, gather(whole, own.contiguous(), group=group, async_op=True)


def begin_scattering(
    whole: Tensor, group: dist.ProcessGroup
) -> tuple[Tensor, dist.Work]:
    """Return room for a rank's own rows of the sum, and what to wait for."""
    own = whole.new_empty((len(whole) // group.size(), *whole.shape[1:]))
    scatter = getattr(dist, "reduce_scatter_single", None)
    scatter = scatter or dist.reduce_scatter_tensor
    return own, scatter(own, whole.contiguous(), group=group, async_op=True)


def _forward(
    product: Matrix,
    group: dist.ProcessGroup,
    inputs: Tensor,
    *,
    is_first: bool,
    is_last: bool,
) -> Tensor:
    """Return the outputs of a replica's neurons; of the last product, those of all."""
    whole: Tensor = inputs if is_first else _Exchanged.apply(inputs, group)
    outputs = functional.linear(whole, product.weight, product.bias)
    if not is_last:
        return outputs
    logits: Tensor = _Gathered.apply(outputs, group)
    return logits


def _columns_of_all(own: Tensor, group: dist.ProcessGroup) -> Tensor:
    return gathered(own.t(), group).t()


class _Exchanged(torch.autograd.Function):
    """All neurons' activations; what follows of them is divided over the ranks.

    So the gradient is the sum of all ranks'.
    """

    @staticmethod
    @override
    def forward(ctx: Any, own: Tensor, group: dist.ProcessGroup) -> Tensor:
        """Return samples x neurons of all ranks."""
        ctx.group = group
        return _columns_of_all(own, group)

    @staticmethod
    @override
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of a rank's own neurons."""
        own, work = begin_scattering(gradient.t(), ctx.group)
        work.wait()
        return own.t(), None


class _Gathered(torch.autograd.Function):
    """All logits, of which every rank computes the same loss.

    So every rank has the whole gradient already.
    """

    @staticmethod
    @override
    def forward(ctx: Any, own: Tensor, group: dist.ProcessGroup) -> Tensor:
        """Return samples x logits."""
        ctx.group = group
        return _columns_of_all(own, group)

    @staticmethod
    @override
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient of a rank's own logits."""
        group = ctx.group
        return gradient.chunk(group.size(), dim=1)[group.rank()], None
