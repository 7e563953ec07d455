"""States divided among replicas: FSDP2, a unit a layer, as the simulator has them."""

from __future__ import annotations

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from calibration.modules import LayerModule, Part


def shard(
    part: Part,
    mesh: DeviceMesh,
    *,
    is_resharded: bool,
    compute: torch.dtype,
    reduced: torch.dtype,
) -> nn.Module:
    """Divide the parameters of a part, in place, and return it.

    Layers that share a table are the root unit, which stays from forward to backward.
    So does the last layer, whose backward comes next.

    Args:
        part: with whole parameters.
        mesh: of the ranks that divide them, behind those that hold the same parts.
        is_resharded: whether gathered parameters are dropped after forward.
        compute: format in which they are gathered.
        reduced: format in which gradients are summed.
    """
    policy = MixedPrecisionPolicy(param_dtype=compute, reduce_dtype=reduced)
    layers = [each for each in part.layers.values() if isinstance(each, LayerModule)]
    shared = _shared(layers)
    units = [each for each in layers if not shared & _tables(each)]
    for unit in units:
        is_last = unit is layers[-1]
        fully_shard(
            unit,
            mesh=mesh,
            reshard_after_forward=is_resharded and not is_last,
            mp_policy=policy,
        )
    # The root itself never drops between forward and backward.
    fully_shard(part, mesh=mesh, reshard_after_forward=False, mp_policy=policy)
    return part


def _shared(layers: list[LayerModule]) -> set[int]:
    """Return, by `id`, the parameters that two layers have."""
    seen: set[int] = set()
    twice: set[int] = set()
    for layer in layers:
        own = _tables(layer)
        twice |= own & seen
        seen |= own
    return twice


def _tables(layer: LayerModule) -> set[int]:
    return {id(each) for each in layer.parameters()}
