"""A rank's share of a model: its stages as modules, split as the plan says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.distributed.tensor import DTensor, Shard

from calibration.modules import LayerModule, Network, Part, build, loss
from calibration.modules.products import Matrix
from calibration.torch_engine.groups import Groups
from calibration.torch_engine.splits import tensor
from calibration.torch_engine.splits.carried import Carriage
from calibration.torch_engine.splits.context import divide_tokens, places
from calibration.torch_engine.splits.experts import (
    Ranks,
    place_routes,
    spread,
    weights_of,
)
from calibration.torch_engine.splits.neurons import divide_neurons
from calibration.torch_engine.splits.replicas import Copies, replicate
from calibration.torch_engine.splits.sharded import Apart, Division, shard
from calibration.torch_engine.splits.whole_samples import keep_whole
from calibration.torch_engine.task import Assignment
from models.model import Model
from simulator.lowering.schedules.table import DESIGNS
from simulator.lowering.served import is_served
from simulator.lowering.states import kept_precision
from simulator.lowering.stopping import read_again, stops
from simulator.plan import Plan
from simulator.plans.layer_choices import (
    context_of,
    expert_of,
    layers_by_neurons,
    method_of,
    recompute_of,
)
from simulator.plans.records import ParallelismSection
from simulator.workload import Axis

FORMATS = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}


Divisions = tuple[tuple[Axis, int], ...]
"""Axes whose ranks divide a parameter, with its dimension."""


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
        divided: by which axes parameters are divided, and along which dimensions, by
            their names; those that are whole left out.
        experts: parameters that not all replicas hold.
        neurons: the dense layers behind the stages whose neurons the replicas divide.
        table: name of the shared table, where another rank holds a copy of it.
    """

    model: Model
    stages: tuple[Stage, ...]
    divided: Mapping[str, Divisions]
    table: str | None
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


def build_local(
    task: Assignment, groups: Groups, carriage: Carriage | None = None
) -> Local:
    """Return this rank's stages, replicated over its data ranks if they overlap.

    Args:
        task: what is trained, and how it is split.
        groups: of this rank.
        carriage: what sums gradients of replicas; torch if left out.
    """
    plan = task.plan
    mesh = plan.parallelism
    model = plan.build_model()
    dtype = FORMATS[kept_precision(plan)]
    network = build(model, dtype=dtype, device=task.device, seed=task.seed)
    mine = [n for n, ranks in enumerate(mesh.placement) if groups.pipeline in ranks]
    parts = {number: Part(network, range(*task.layers[number])) for number in mine}
    divided: dict[str, Divisions] = {}
    experts: list[nn.Parameter] = []
    for part in parts.values():
        divided |= _split(part, plan, groups)
        if mesh.expert > 1:
            divided_here = [x for x in layers_of(part) if expert_of(mesh, x.layer) > 1]
            experts += [each for each, _ in weights_of(divided_here)]
    table = _copied(network, parts, plan)
    is_sharded = mesh.zero == 3 and mesh.replicas > 1
    is_averaged = mesh.replicas > 1 and mesh.zero < 2 and not is_served(plan)
    is_whole = not DESIGNS[mesh.schedule].has_parts  # else see `splits.buckets`
    is_bucketed = is_averaged and plan.synchronization.overlap and is_whole
    stages = []
    for number, part in parts.items():
        module: nn.Module = part
        has_parameters = any(True for _ in part.parameters())
        wide = FORMATS[plan.training.gradient_precision]
        if is_sharded and has_parameters:
            module = shard(part, _division(plan, groups))
        elif is_bucketed and has_parameters:
            bucket = plan.synchronization.bucket
            copies = Copies(groups.group("data"), carriage)
            module = replicate(part, copies, bucket, wide, experts)
        stages.append(Stage(number, part, module))
    neurons = _by_neurons(network, plan, groups)
    if neurons is not None:
        divided |= {name: (("data", 0),) for name, _ in neurons.named_parameters()}
    return Local(model, tuple(stages), divided, table, experts, neurons)


def _division(plan: Plan, groups: Groups) -> Division:
    """Return how replicas divide the parameters of a stage."""
    mesh, training = plan.parallelism, plan.training
    formats = (FORMATS[training.precision], FORMATS[training.gradient_precision])
    return Division(
        mesh=groups.mesh_of_shards(),
        policy=MixedPrecisionPolicy(*formats),
        is_resharded=mesh.reshard,
        is_stage=mesh.pipeline > 1,
        experts=Apart(groups.mesh("expert-data"), mesh.replicas)
        if mesh.expert > 1
        else None,
    )


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


def _split(part: Part, plan: Plan, groups: Groups) -> dict[str, Divisions]:
    """Divide a part over ranks, and drop what the plan recomputes."""
    mesh = plan.parallelism
    layers = layers_of(part)
    divided: dict[str, Divisions] = {}
    names = {id(each): name for name, each in part.named_parameters()}
    if mesh.tensor > 1:
        tensor.divide(layers, groups.mesh("tensor"), is_sequence=mesh.sequence)
        for parameter, placement in tensor.parts(layers, is_sequence=mesh.sequence):
            divided[names[id(parameter)]] = (("tensor", placement.dim),)
    for parameter, divisions in _spread(layers, plan, groups):
        divided[names[id(parameter)]] = divisions
    if mesh.context > 1:
        group, order = groups.group("context"), token_places(plan)
        for layer in layers:
            if context_of(mesh, layer.layer) == 1:
                keep_whole(layer, group, order)
                continue
            is_ring = method_of(mesh, layer.layer) == "ring"
            divide_tokens([layer], group, order, is_ring=is_ring)
    if mesh.sequence:
        own = token_places(plan)[groups.context].chunk(mesh.tensor)[groups.tensor]
        place_routes(layers, own)
    for layer in layers:
        drop(layer, plan)
    return divided


def _spread(
    layers: list[LayerModule], plan: Plan, groups: Groups
) -> Iterator[tuple[nn.Parameter, Divisions]]:
    """Divide experts over ranks; yield their weights, with what divides each."""
    mesh = plan.parallelism
    for layer in layers:
        expert = expert_of(mesh, layer.layer)
        if expert * mesh.tensor == 1:
            continue
        spread([layer], _ranks_of_experts(mesh, groups, expert))
        for parameter, dim in weights_of([layer]):
            of_experts: Divisions = (("expert", 0),) if expert > 1 else ()
            of_features: Divisions = (("tensor", dim),) if mesh.tensor > 1 else ()
            yield parameter, (*of_experts, *of_features)


def drop(layer: LayerModule, plan: Plan) -> None:
    """Have the backward of a layer compute again what the plan says.

    Networks run with a dropout of zero, which keeps no mask; where one would have to be
    computed again, all of the layer is.
    """
    recompute = recompute_of(plan.parallelism, layer.layer)
    is_full = recompute == "full"
    operators = layer.layer.operators
    dropped = [each for each in operators if is_full or each.is_core_attention]
    layer.recomputes_core = recompute == "selective"
    layer.stops = stops(plan) and len(read_again(dropped)) < len(dropped)
    if is_full and layer.layer.role == "block":
        layer.forward = partial(layer.again, layer.forward)  # type: ignore[method-assign]


def _ranks_of_experts(mesh: ParallelismSection, groups: Groups, expert: int) -> Ranks:
    """Return which ranks divide experts."""
    return Ranks(
        group=groups.group("expert") if expert > 1 else None,
        tensor=groups.mesh("tensor") if mesh.tensor > 1 else None,
        is_sequence=mesh.sequence,
    )


def token_places(plan: Plan) -> list[torch.Tensor]:
    """Return the places of the tokens of every context rank."""
    model, mesh = plan.build_model(), plan.parallelism
    is_balanced = mesh.context_balanced and model.attention == "causal"
    tokens = model.tokens_per_sample
    return places(tokens, mesh.context, is_balanced=is_balanced)


def _copied(network: Network, parts: Mapping[int, Part], plan: Plan) -> str | None:
    """Return the name of the table that first and last stage share between ranks."""
    placement = plan.parallelism.placement
    if set(placement[0]) == set(placement[-1]):
        return None
    shared = {
        id(module.weight)
        for layer in network.layers
        for module in layer.children()
        if isinstance(module, Matrix) and not module.operator.owns_weight
    }
    for number in {0, len(placement) - 1} & set(parts):
        found: dict[str, nn.Parameter] = dict(parts[number].named_parameters())
        return next((name for name, each in found.items() if id(each) in shared), None)
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
