"""Layer prices and sizes for every plan of a batch, once per distinct split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from models.model import Layer, Model
from models.work import Share
from simulator.batch.splits import Splits, broadcasting, gathered
from simulator.lowering.formats import cast_reads, element_bytes, operand_bytes
from simulator.lowering.staged import casts_before_sending, plan_passes
from simulator.lowering.stages import layer_parameters
from simulator.memory.needs import Needs, layer_needs
from simulator.mesh import Degrees
from simulator.plan import Plan
from simulator.plans.layer_choices import recompute_of
from simulator.pricing.price import NOTHING, Price
from simulator.pricing.pricer import Pricer
from topologies.units import Bytes, Count


@dataclass(frozen=True, slots=True)
class Layers:
    """Prices and sizes of the three parts of a model, one entry per plan.

    Fields:
        embedding, block, head: (forward, backward) prices.
        parameters: of the same three, on one tensor rank [1].
        kept: activation bytes of the same three per micro-batch [B].
        during: what the backward of a block and of the head add while they run [B].
    """

    embedding: tuple[Price, Price]
    block: tuple[Price, Price]
    head: tuple[Price, Price]
    parameters: tuple[Count, Count, Count]
    kept: tuple[Bytes, Bytes, Bytes]
    during: tuple[Bytes, Bytes]


def price_layers(plan: Plan, model: Model, splits: Splits, own: Pricer) -> Layers:
    """Return layer prices per plan, computed once per distinct (tensor, micro)."""
    pairs = np.stack([np.asarray(splits.tensor), np.asarray(splits.micro)])
    distinct, inverse = np.unique(pairs, axis=1, return_inverse=True)
    index = inverse.ravel()
    tensor, micro = (broadcasting(row) for row in distinct)
    pricer = replace(own, degrees=Degrees(tensor, plan.world_size / tensor, 1))
    share = Share(
        samples=micro,
        tensor=tensor,
        sequence=tensor if plan.parallelism.sequence else 1,
        element=element_bytes(plan.training.precision),
        operand=operand_bytes(plan.training.precision),
        cast_reads=cast_reads(plan.model.kernels),
        cast_parts=tensor if casts_before_sending(plan) else 1,
        gradient=element_bytes(plan.training.gradient_precision),
    )
    mesh = plan.parallelism

    def priced(role: str) -> tuple[Price, Price]:
        forward = backward = NOTHING
        for layer in _parts(model, role):
            passes = plan_passes(plan, layer, share)
            forward = forward.then(pricer.items(passes.forward, "forward"))
            backward = pricer.items(passes.backward, "backward").then(backward)
        return _spread(forward, index), _spread(backward, index)

    def sized(function: Callable[[Layer], float], role: str) -> float:
        total = sum((function(layer) for layer in _parts(model, role)), 0.0)
        return gathered(total, index)

    roles = ("embedding", "block", "head")
    embedding, block, head = (priced(role) for role in roles)
    parameters = [
        sized(
            lambda layer: layer_parameters(layer, share.tensor, is_tied_copy=False),
            role,
        )
        for role in roles
    ]

    def needs(layer: Layer) -> Needs:
        return layer_needs(
            layer,
            share,
            recompute_of(mesh, layer),
            loss_copies=plan.training.loss_copies,
            method=plan.parallelism.context_method,
        )

    kept = [sized(lambda layer: needs(layer).kept, role) for role in roles]
    during = [
        sized(lambda layer: needs(layer).again + needs(layer).both, role)
        for role in roles[1:]
    ]
    return Layers(
        embedding,
        block,
        head,
        (parameters[0], parameters[1], parameters[2]),
        (kept[0], kept[1], kept[2]),
        (during[0], during[1]),
    )


def _parts(model: Model, role: str) -> list[Layer]:
    """Return the layers of a role; equal blocks once."""
    layers = [layer for layer in model.layers if layer.role == role]
    if role != "block":
        return layers
    if len({id(layer) for layer in layers}) != 1:
        raise ValueError("the batch engine takes models with equal blocks only")
    return layers[:1]


def _spread(price: Price, index: NDArray[np.intp]) -> Price:
    """Return a price per plan from one per distinct pair."""
    return Price(
        *(gathered(getattr(price, field.name), index) for field in fields(Price))
    )
