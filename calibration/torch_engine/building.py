"""A rank's share of a model: its stages as modules, split as the plan says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.distributed.tensor import DTensor, Shard
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from calibration.modules import LayerModule, Network, Part, build, loss
from calibration.modules.products import Matrix
from calibration.torch_engine.groups import Groups
from calibration.torch_engine.splits import tensor
from calibration.torch_engine.splits.context import divide_tokens, places
from calibration.torch_engine.splits.experts import spread
from calibration.torch_engine.splits.neurons import divide_neurons
from calibration.torch_engine.splits.replicas import replicate
from calibration.torch_engine.splits.sharded import shard
from calibration.torch_engine.task import Assignment
from models.model import Model
from simulator.lowering.served import is_served
from simulator.lowering.sharding.broadcasts import has_owners
from simulator.lowering.states import kept_precision
from simulator.plan import Plan
from simulator.plans.layer_choices import layers_by_neurons, recompute_of
from simulator.workload import Axis

FORMATS = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}


class Stage(NamedTuple):
    """One virtual stage on this rank.

    Fields:
        number: 0 … p·v - 1.
        part: its layers.
        module: what runs it, with whatever is around it.
    """

    number: int
    part: Part
    module: nn.Module


@dataclass(frozen=True, slots=True)
class Local:
    """What this rank holds of the model.

    Fields:
        model: the layer table.
        stages: its stages, in order.
        divided: by which axis parameters are divided, and along which dimension, by
            their names; those that are whole left out.
        experts: parameters that not all replicas hold.
        neurons: the dense layers behind the stages whose neurons the replicas divide.
        table: the shared table, where another rank holds a copy of it.
    """

    model: Model
    stages: tuple[Stage, ...]
    divided: Mapping[str, tuple[Axis, int]]
    table: nn.Parameter | None
    experts: list[nn.Parameter]
    neurons: Part | None = None

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return parameters by their names in the whole model, shared ones once."""
        found: dict[str, nn.Parameter] = {}
        for stage in self.stages:
            found |= dict(stage.part.named_parameters())
        if self.neurons is not None:
            found |= dict(self.neurons.named_parameters())
        seen: set[int] = set()
        return {
            name: each
            for name, each in found.items()
            if id(each) not in seen and not seen.add(id(each))  # type: ignore[func-returns-value]
        }


def build_local(task: Assignment, groups: Groups) -> Local:
    """Return this rank's stages, replicated over its data ranks if they overlap."""
    plan = task.plan
    mesh = plan.parallelism
    model = plan.build_model()
    dtype = FORMATS[kept_precision(plan)]
    network = build(model, dtype=dtype, device=task.device, seed=task.seed)
    mine = [n for n, ranks in enumerate(mesh.placement) if groups.pipeline in ranks]
    parts = {number: Part(network, range(*task.layers[number])) for number in mine}
    divided: dict[str, tuple[Axis, int]] = {}
    experts: list[nn.Parameter] = []
    for part in parts.values():
        divided |= _split(part, plan, groups)
        if mesh.expert > 1:
            experts += spread(layers_of(part), groups.group("expert"))
    for part in parts.values():
        for name, each in part.named_parameters():
            if any(each is own for own in experts):
                divided[name] = ("expert", 0)
    is_sharded = mesh.zero == 3 and mesh.replicas > 1
    is_whole = not mesh.zero or has_owners(plan)  # a rank has the whole gradient
    is_averaged = mesh.replicas > 1 and is_whole and not is_served(plan)
    is_bucketed = is_averaged and plan.synchronization.overlap
    stages = []
    for number, part in parts.items():
        module: nn.Module = part
        has_parameters = any(True for _ in part.parameters())
        wide = FORMATS[plan.training.gradient_precision]
        if is_sharded and has_parameters:
            module = shard(
                part,
                groups.mesh_of_shards(),
                is_resharded=mesh.reshard,
                compute=FORMATS[plan.training.precision],
                reduced=wide,
            )
        elif is_bucketed and has_parameters:
            bucket = plan.synchronization.bucket
            module = replicate(part, groups.group("data"), bucket, wide, experts)
        stages.append(Stage(number, part, module))
    table = _copied(network, plan, mine)
    neurons = _by_neurons(network, plan, groups)
    if neurons is not None:
        divided |= {name: ("data", 0) for name, _ in neurons.named_parameters()}
    return Local(model, tuple(stages), divided, table, experts, neurons)


def _by_neurons(network: Network, plan: Plan, groups: Groups) -> Part | None:
    """Return the last layers with this replica's neurons; None if it has all."""
    number = len(layers_by_neurons(plan.parallelism, network.model))
    if not number:
        return None
    end = len(network.layers)
    part = Part(network, range(end - number, end))
    divide_neurons(layers_of(part), groups.group("data"))
    return part


def layers_of(part: Part) -> list[LayerModule]:
    """Return the layers of a part, in order."""
    return [each for each in part.layers.values() if isinstance(each, LayerModule)]


def _split(part: Part, plan: Plan, groups: Groups) -> dict[str, tuple[Axis, int]]:
    """Divide a part over tensor ranks, and drop what the plan recomputes."""
    mesh = plan.parallelism
    layers = layers_of(part)
    divided: dict[str, tuple[Axis, int]] = {}
    if mesh.tensor > 1:
        tensor.divide(layers, groups.mesh("tensor"), is_sequence=mesh.sequence)
        names = {id(each): name for name, each in part.named_parameters()}
        for parameter, placement in tensor.parts(layers, is_sequence=mesh.sequence):
            divided[names[id(parameter)]] = ("tensor", placement.dim)
    if mesh.context > 1:
        divide_tokens(
            layers,
            groups.group("context"),
            token_places(plan),
            is_ring=mesh.context_method == "ring",
        )
    for layer in layers:
        recompute = recompute_of(mesh, layer.layer)
        layer.recomputes_core = recompute == "selective"
        if recompute == "full" and layer.layer.role == "block":
            layer.forward = partial(_again, layer.forward)  # type: ignore[method-assign]
    return divided


def token_places(plan: Plan) -> list[torch.Tensor]:
    """Return the places of the tokens of every context rank."""
    model, mesh = plan.build_model(), plan.parallelism
    is_balanced = mesh.context_balanced and model.attention == "causal"
    tokens = model.tokens_per_sample
    return places(tokens, mesh.context, is_balanced=is_balanced)


def _again(forward: Any, *inputs: Any) -> Any:
    """Run a layer that keeps nothing but its inputs.

    All of it runs again, as is simulated, even what no gradient needs.
    """
    with set_checkpoint_early_stop(enable=False):
        return checkpoint(forward, *inputs, use_reentrant=False)


def _copied(network: Network, plan: Plan, mine: list[int]) -> nn.Parameter | None:
    """Return the table that first and last stage share from different ranks."""
    placement = plan.parallelism.placement
    is_end = {0, len(placement) - 1} & set(mine)
    if set(placement[0]) == set(placement[-1]) or not is_end:
        return None
    for layer in network.layers:
        for module in layer.children():
            if isinstance(module, Matrix) and not module.operator.owns_weight:
                return module.weight
    return None


def loss_of(model: Model, plan: Plan, groups: Groups) -> Any:
    """Return the loss of one micro-batch; over divided logits if they are."""
    own = loss(model)
    is_divided = plan.parallelism.tensor > 1 and model.layers[-1].role == "head"
    if not is_divided:
        return own
    mesh = groups.mesh("tensor")

    def divided(outputs: Any, targets: Any) -> Any:
        logits = DTensor.from_local(outputs, mesh, [Shard(-1)], run_check=False)
        return own(logits, targets)

    return divided
