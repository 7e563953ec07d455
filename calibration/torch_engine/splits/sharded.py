"""States divided among replicas: FSDP2, a unit a layer, as the simulator has them.

Layers that the plan wants whole are no unit, and the root ignores them; their gradients
are averaged after the passes, a message a layer.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from calibration.modules import LayerModule, Part
from simulator.plans.layer_choices import reshard_of, zero_of
from simulator.plans.records import ParallelismSection


def shard(
    part: Part,
    mesh: DeviceMesh,
    *,
    choices: ParallelismSection,
    compute: torch.dtype,
    reduced: torch.dtype,
) -> nn.Module:
    """Divide the parameters of a part, in place, and return it.

    Layers that share a table are the root unit, which stays from forward to backward.
    So does the last layer, whose backward comes next.

    Args:
        part: with whole parameters.
        mesh: of the ranks that divide them, behind those that hold the same parts.
        choices: which layers are divided, and which drop parameters after forward.
        compute: format in which they are gathered.
        reduced: format in which gradients are summed.
    """
    policy = MixedPrecisionPolicy(param_dtype=compute, reduce_dtype=reduced)
    layers = [each for each in part.layers.values() if isinstance(each, LayerModule)]
    shared = _shared(layers)
    whole = [list(each.parameters()) for each in whole_layers(part, choices)]
    units = [
        each
        for each in layers
        if not shared & _tables(each) and zero_of(choices, each.layer)
    ]
    for unit in units:
        is_last = unit is layers[-1]
        fully_shard(
            unit,
            mesh=mesh,
            reshard_after_forward=reshard_of(choices, unit.layer) and not is_last,
            mp_policy=policy,
        )
    # The root itself never drops between forward and backward.
    fully_shard(
        part,
        mesh=mesh,
        reshard_after_forward=False,
        mp_policy=policy,
        ignored_params={each for own in whole for each in own},
    )
    return part


def whole_layers(part: Part, choices: ParallelismSection) -> list[LayerModule]:
    """Return the layers with parameters that every replica holds whole."""
    return [
        each
        for each in part.layers.values()
        if isinstance(each, LayerModule)
        and zero_of(choices, each.layer) == 0
        and any(True for _ in each.parameters())
    ]


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
