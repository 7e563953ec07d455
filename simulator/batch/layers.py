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
    tensor, micro = (broadcasting(row) for row in distinct)
    pricing = _Pricing(
        plan=plan,
        model=model,
        share=_share(plan, tensor, micro),
        pricer=replace(own, degrees=Degrees(tensor, plan.world_size / tensor, 1)),
        index=inverse.ravel(),
    )
    return Layers(
        embedding=pricing.priced("embedding"),
        block=pricing.priced("block"),
        head=pricing.priced("head"),
        parameters=pricing.of_each(pricing.parameters),
        kept=pricing.of_each(pricing.kept),
        during=(
            pricing.sized(pricing.during, "block"),
            pricing.sized(pricing.during, "head"),
        ),
    )


def _share(plan: Plan, tensor: Count, micro: Count) -> Share:
    """Return what a device has of a layer under each distinct split."""
    training = plan.training
    return Share(
        samples=micro,
        tensor=tensor,
        sequence=tensor if plan.parallelism.sequence else 1,
        element=element_bytes(training.precision),
        operand=operand_bytes(training.precision),
        cast_reads=cast_reads(plan.model.kernels),
        cast_parts=tensor if casts_before_sending(plan) else 1,
        gradient=element_bytes(training.gradient_precision),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pricing:
    """Prices layers once per distinct split, and spreads what comes out over plans.

    Fields:
        plan, model: that all splits share.
        share: of a device, one entry per distinct split.
        pricer: with the degrees of those splits.
        index: of each plan's split among the distinct ones.
    """

    plan: Plan
    model: Model
    share: Share
    pricer: Pricer
    index: NDArray[np.intp]

    def priced(self, role: str) -> tuple[Price, Price]:
        """Return the forward and backward prices of the layers of a role."""
        forward = backward = NOTHING
        for layer in _parts(self.model, role):
            passes = plan_passes(self.plan, layer, self.share)
            forward = forward.then(self.pricer.items(passes.forward, "forward"))
            backward = self.pricer.items(passes.backward, "backward").then(backward)
        return _spread(forward, self.index), _spread(backward, self.index)

    def sized(self, size: Callable[[Layer], float], role: str) -> float:
        """Return what the layers of a role come to, one entry per plan."""
        total = sum((size(layer) for layer in _parts(self.model, role)), 0.0)
        return gathered(total, self.index)

    def of_each(self, size: Callable[[Layer], float]) -> tuple[float, float, float]:
        """Return the same of each of the three roles."""
        return (
            self.sized(size, "embedding"),
            self.sized(size, "block"),
            self.sized(size, "head"),
        )

    def parameters(self, layer: Layer) -> Count:
        """Return the parameters of a layer on one tensor rank [1]."""
        return layer_parameters(layer, self.share.tensor, is_tied_copy=False)

    def kept(self, layer: Layer) -> Bytes:
        """Return the activations that a layer keeps for its backward [B]."""
        return self._needs(layer).kept

    def during(self, layer: Layer) -> Bytes:
        """Return what the backward of a layer adds while it runs [B]."""
        needs = self._needs(layer)
        return needs.again + needs.both

    def _needs(self, layer: Layer) -> Needs:
        return layer_needs(
            layer,
            self.share,
            recompute_of(self.plan.parallelism, layer),
            loss_copies=self.plan.training.loss_copies,
            method=self.plan.parallelism.context_method,
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
