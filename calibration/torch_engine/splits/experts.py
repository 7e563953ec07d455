"""Experts on several ranks, and tokens that go to them and back.

Expert ranks divide the experts, tensor ranks the features inside each. Rows leave a
dispatch ordered by expert, so equal parts of them go to the expert ranks in order.
Under sequence parallelism a tensor rank dispatches its own tokens, and all of them then
gather their rows; else each has all tokens, and a part of every result. A rank orders
what came by expert again, and undoes that before it sends the results back.

What an expert puts out is weighed where its token is, not at the expert: the last
product has no bias, so that is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed._functional_collectives import all_to_all_single_autograd
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard

from calibration.modules import LayerModule
from calibration.modules.pointwise import Combine, Dispatch, Gated, Route
from calibration.modules.products import Experts, Routes
from models.operators import Split

_FEATURES = {Split.COLUMN: 2, Split.ROW: 1}  # of experts x inner x columns


class Ranks(NamedTuple):
    """Those that divide experts.

    Fields:
        group: with different experts; None if this rank has all.
        tensor: with other features of the same; None if it has all.
        is_sequence: whether tensor ranks dispatch tokens of their own.
    """

    group: dist.ProcessGroup | None
    tensor: DeviceMesh | None
    is_sequence: bool

    @property
    def sources(self) -> int:
        """Ranks whose tokens meet the experts of one [1]."""
        size = self.group.size() if self.group else 1
        return size * (self.tensor.size() if self.tensor and self.is_sequence else 1)


def spread(layers: list[LayerModule], ranks: Ranks) -> None:
    """Keep a rank's own part of the experts, in place.

    Args:
        layers: with all experts.
        ranks: that divide them.
    """
    for layer in layers:
        experts = [each for each in layer.children() if isinstance(each, Experts)]
        if not experts:
            continue
        for each in experts:
            _keep_part(each, ranks)
        here = len(experts[0].weight)
        for module in layer.children():
            if isinstance(module, Dispatch):
                module.forward = partial(_dispatched, module, ranks, here)  # type: ignore[method-assign]
            elif isinstance(module, Combine):
                module.forward = partial(_combined, module, ranks, here)  # type: ignore[method-assign]
            elif isinstance(module, Gated):
                module.forward = partial(_unweighed, module)  # type: ignore[method-assign]


def place_routes(layers: list[LayerModule], own: Tensor) -> None:
    """Tell routers of which tokens they see the scores, by their places in a sample."""
    for layer in layers:
        for module in layer.children():
            if isinstance(module, Route):
                module.positions = own


def weights_of(layers: list[LayerModule]) -> Iterator[tuple[nn.Parameter, int]]:
    """Yield the weights of experts, with the dimension of what tensor ranks divide."""
    for layer in layers:
        for module in layer.children():
            if isinstance(module, Experts):
                yield module.weight, _FEATURES[module.operator.split]


def _keep_part(module: Experts, ranks: Ranks) -> None:
    own = module.weight.data
    if ranks.group is not None:
        own = own.chunk(ranks.group.size())[ranks.group.rank()]
    if ranks.tensor is not None:
        dim = _FEATURES[module.operator.split]
        own = own.chunk(ranks.tensor.size(), dim)[ranks.tensor.get_local_rank()]
    module.weight.data = own.clone(memory_format=torch.contiguous_format)


def _dispatched(
    module: Dispatch, ranks: Ranks, here: int, tokens: Tensor, routes: Routes
) -> Tensor:
    """Return the rows of this rank's experts, from the tokens of all ranks."""
    rows = Dispatch.forward(module, _known_to_all(tokens, ranks), routes)
    rows = _exchanged(rows, ranks.group)
    if ranks.tensor is not None and ranks.is_sequence:
        rows = _moved(rows, ranks.tensor, Shard(0), Replicate(), Partial())
    by_source = torch.unflatten(rows, 0, (ranks.sources, here, -1))
    return by_source.transpose(0, 1).flatten(0, 2)


def _combined(
    module: Combine, ranks: Ranks, here: int, rows: Tensor, routes: Routes
) -> Tensor:
    """Return the sums of this rank's tokens, from the experts of all ranks."""
    by_expert = torch.unflatten(rows, 0, (here, ranks.sources, -1))
    back = by_expert.transpose(0, 1).flatten(0, 2)
    if ranks.tensor is not None and ranks.is_sequence:
        back = _moved(back, ranks.tensor, Partial(), Shard(0), Shard(0))
    back = _exchanged(back, ranks.group)
    weights = _known_to_all(routes.weights, ranks)
    tokens = Combine.forward(module, back * weights[:, None], routes)
    if ranks.tensor is not None and not ranks.is_sequence:
        tokens = _moved(tokens, ranks.tensor, Partial(), Replicate(), Replicate())
    return tokens


def _unweighed(module: Gated, both: Tensor, routes: Routes | None = None) -> Tensor:
    del routes
    return Gated.forward(module, both)


def _exchanged(rows: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """Return equal parts of the rows of all ranks."""
    if group is None:
        return rows
    sizes = [len(rows) // group.size()] * group.size()
    return all_to_all_single_autograd(rows.contiguous(), sizes, sizes, group)


def _known_to_all(whole: Tensor, ranks: Ranks) -> Tensor:
    """Return what all tensor ranks have; each then knows a part of its gradient."""
    if ranks.tensor is None or ranks.is_sequence:
        return whole
    return _moved(whole, ranks.tensor, Replicate(), Replicate(), Partial())


def _moved(
    local: Tensor,
    mesh: DeviceMesh,
    given: Placement,
    wanted: Placement,
    gradient: Placement,
) -> Tensor:
    """Return a tensor as it is wanted; its gradient comes back as that of the given.

    Args:
        local: of this rank.
        mesh: of the tensor ranks.
        given: how they have it.
        wanted: how they are to have it.
        gradient: how they know the gradient of that.
    """
    tensor = DTensor.from_local(local, mesh, [given], run_check=False)
    moved = tensor.redistribute(placements=[wanted])
    return moved.to_local(grad_placements=[gradient])
