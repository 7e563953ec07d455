"""States divided among replicas: FSDP2, a unit a layer, as the simulator has them.

Layers that the plan wants whole are no unit, and the root ignores them; their gradients
are averaged after the passes, a message a layer.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import Shard

from calibration.modules import LayerModule, Part
from calibration.modules.products import Experts
from simulator.plans.layer_choices import reshard_of, zero_of
from simulator.plans.records import ParallelismSection


class Apart(NamedTuple):
    """How experts are divided that not all replicas hold.

    Fields:
        mesh: of the ranks that hold the same.
        replicas: whose tokens they see [1].
    """

    mesh: DeviceMesh
    replicas: int


class Division(NamedTuple):
    """How parameters are divided.

    Fields:
        mesh: of the ranks that divide them, behind those that hold the same parts.
        policy: formats in which they are gathered, and gradients summed.
        choices: which layers are divided, and which drop parameters after forward.
        experts: how those are divided that not all replicas hold, if any.
    """

    mesh: DeviceMesh
    policy: MixedPrecisionPolicy
    choices: ParallelismSection
    experts: Apart | None = None


def shard(part: Part, division: Division) -> nn.Module:
    """Divide the parameters of a part, in place, and return it.

    Layers that share a table are the root unit, which stays from forward to backward.
    So does the last layer, whose backward comes next; but not that of a pipeline's
    stage, where other passes may come before.

    Args:
        part: with whole parameters.
        division: of them.
    """
    mesh, policy, choices = division.mesh, division.policy, division.choices
    layers = [each for each in part.layers.values() if isinstance(each, LayerModule)]
    shared = _shared(layers)
    whole = {
        each for layer in whole_layers(part, choices) for each in layer.parameters()
    }
    units = [
        each
        for each in layers
        if not shared & _tables(each) and zero_of(choices, each.layer)
    ]
    for unit in units:
        is_kept = unit is layers[-1] and choices.pipeline == 1
        is_dropped = reshard_of(choices, unit.layer) and not is_kept
        if division.experts is not None:
            _shard_experts(unit, division.experts, policy, is_dropped=is_dropped)
        fully_shard(unit, mesh=mesh, reshard_after_forward=is_dropped, mp_policy=policy)
    # The root itself never drops between forward and backward.
    fully_shard(
        part,
        mesh=mesh,
        reshard_after_forward=False,
        mp_policy=policy,
        ignored_params=whole,
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


def _shard_experts(
    layer: LayerModule,
    apart: Apart,
    policy: MixedPrecisionPolicy,
    *,
    is_dropped: bool,
) -> None:
    """Divide a layer's experts, all in one message, among the ranks that have them."""
    experts = [each for each in layer.children() if isinstance(each, Experts)]
    if not experts:
        return
    size = apart.mesh.size()
    shard: Any = fully_shard(
        experts,
        mesh=apart.mesh,
        reshard_after_forward=is_dropped,
        mp_policy=policy,
        shard_placement_fn=partial(_even, size),
    )
    for each in shard:
        # Theirs are gradients of more replicas than divide them; gloo only sums.
        each.set_gradient_divide_factor(apart.replicas)
        each.set_force_sum_reduction_for_comms(size > 1)


def _even(size: int, weight: nn.Parameter) -> Shard:
    """Return the first dimension that a number of ranks divides, as torchtitan does."""
    dims = (dim for dim, length in enumerate(weight.shape) if length % size == 0)
    return Shard(next(dims, 0))


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
