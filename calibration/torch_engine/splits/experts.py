"""Expert parallelism: experts on several ranks, and tokens that go to them and back.

Rows leave a dispatch ordered by expert, so equal parts of them go to the ranks in
order. A rank orders what came by expert again, and undoes that before it sends the
results back. What an expert puts out is weighed where its token is, not at the expert:
the last product has no bias, so that is the same.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed._functional_collectives import all_to_all_single_autograd

from calibration.modules import LayerModule
from calibration.modules.pointwise import Combine, Dispatch, Gated
from calibration.modules.products import Experts, Routes


def spread(layers: list[LayerModule], group: dist.ProcessGroup) -> list[nn.Parameter]:
    """Keep a rank's own experts, in place, and return their parameters.

    Args:
        layers: with all experts.
        group: of the ranks that divide them.
    """
    own = []
    for layer in layers:
        experts = [each for each in layer.children() if isinstance(each, Experts)]
        if not experts:
            continue
        for each in experts:
            part = each.weight.data.chunk(group.size())[group.rank()]
            each.weight.data = part.clone()
            own.append(each.weight)
        here = len(experts[0].weight)
        for module in layer.children():
            if isinstance(module, Dispatch):
                module.forward = partial(_dispatched, module, group, here)  # type: ignore[method-assign]
            elif isinstance(module, Combine):
                module.forward = partial(_combined, module, group, here)  # type: ignore[method-assign]
            elif isinstance(module, Gated):
                module.forward = partial(_unweighed, module)  # type: ignore[method-assign]
    return own


def _dispatched(
    module: Dispatch,
    group: dist.ProcessGroup,
    here: int,
    tokens: Tensor,
    routes: Routes,
) -> Tensor:
    """Return the rows of this rank's experts, from the tokens of all ranks."""
    rows = _exchanged(Dispatch.forward(module, tokens, routes), group)
    return (
        torch.unflatten(rows, 0, (group.size(), here, -1)).transpose(0, 1).flatten(0, 2)
    )


def _combined(
    module: Combine,
    group: dist.ProcessGroup,
    here: int,
    rows: Tensor,
    routes: Routes,
) -> Tensor:
    """Return the sums of this rank's tokens, from the experts of all ranks."""
    by_rank = torch.unflatten(rows, 0, (here, group.size(), -1)).transpose(0, 1)
    back = _exchanged(by_rank.flatten(0, 2), group)
    return Combine.forward(module, back * routes.weights[:, None], routes)


def _unweighed(module: Gated, both: Tensor, routes: Routes | None = None) -> Tensor:
    del routes
    return Gated.forward(module, both)


def _exchanged(rows: Tensor, group: dist.ProcessGroup) -> Tensor:
    """Return equal parts of the rows of all ranks."""
    sizes = [len(rows) // group.size()] * group.size()
    return all_to_all_single_autograd(rows.contiguous(), sizes, sizes, group)


@torch.no_grad()
def average_experts(
    parameters: list[nn.Parameter], group: dist.ProcessGroup | None, replicas: int
) -> None:
    """Average the gradients of a rank's experts over all replicas.

    Args:
        parameters: of the experts; their gradients have the tokens of several replicas.
        group: of the ranks with the same experts; None if this is the only one.
        replicas: whose losses are averaged [1].
    """
    gradients = [each.grad for each in parameters if each.grad is not None]
    flat = torch.cat([each.flatten() for each in gradients]).div_(replicas)
    if group is not None:
        dist.all_reduce(flat, group=group)
    sizes = [each.numel() for each in gradients]
    for gradient, mean in zip(gradients, flat.split(sizes), strict=True):
        gradient.copy_(mean.view_as(gradient))
