"""Buckets of gradients: which are summed together while backward goes on.

=========  ======================================================================
megatron   a bucket closes with the layer that fills it
torch      a bucket closes with the parameter tensor that fills it, counted in the
           format of the parameters, whatever format is sent (DDP's reducer, after it
           has seen one backward)
=========  ======================================================================

The last bucket takes what is left; under torch's rules that includes all experts that
not all replicas hold, which DDP leaves alone.

Limits: a bucket's sum begins when the backward of the layer that fills it has ended,
though tensors in the middle of a layer may have filled it before.

Source: torch 2.13, c10/d/reducer.cpp, compute_bucket_assignment_by_size; a plan always
names the size, so torch's smaller first bucket, for a size left out, does not occur.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from models.model import Layer
from simulator.lowering.formats import element_bytes
from simulator.lowering.stages import expert_parameters, layer_parameters
from simulator.lowering.tensors import layer_tensors
from simulator.plan import Plan
from simulator.plans.layer_choices import expert_of
from topologies.units import Bytes, Count


class Bucket(NamedTuple):
    """Gradients that are summed together, as they are sent.

    Fields:
        size: of all [B].
        of_experts: of experts that not all replicas hold [B].
    """

    size: Bytes
    of_experts: Bytes


def buckets(
    plan: Plan, layers: Sequence[Layer], *, has_copy: bool
) -> list[tuple[Bucket, ...]]:
    """Return the buckets that each layer closes.

    Args:
        plan: whose buckets they are.
        layers: in the order of their backward.
        has_copy: whether layers tied to another stage have copies of its table.
    """
    sent = element_bytes(plan.training.gradient_precision)
    is_torch = plan.training.framework == "torch"
    counted = element_bytes(plan.training.precision) if is_torch else sent
    closed: list[tuple[Bucket, ...]] = []
    filled, of_experts = 0.0, 0.0
    for layer in layers:
        own: list[Bucket] = []
        for part, experts in _parts(plan, layer, has_copy=has_copy):
            filled += part
            of_experts += experts
            if counted * filled >= plan.synchronization.bucket:
                own.append(Bucket(sent * filled, sent * of_experts))
                filled, of_experts = 0.0, 0.0
        closed.append(tuple(own))
    if is_torch:
        mesh = plan.parallelism
        of_experts = sum(
            expert_parameters(layer, mesh.tensor, expert_of(mesh, layer))
            for layer in layers
        )
        filled += of_experts
    if filled:
        closed[-1] = (*closed[-1], Bucket(sent * filled, sent * of_experts))
    return closed


def _parts(
    plan: Plan, layer: Layer, *, has_copy: bool
) -> Iterator[tuple[Count, Count]]:
    """Yield what is not torn apart: parameters, and those of experts among them [1]."""
    mesh = plan.parallelism
    degrees = mesh.tensor, expert_of(mesh, layer)
    whole = layer_parameters(layer, *degrees, is_tied_copy=has_copy)
    experts = expert_parameters(layer, *degrees)
    if plan.training.framework == "megatron":
        yield whole, experts
        return
    for size in layer_tensors(layer, *degrees, is_tied_copy=has_copy):
        yield size, 0.0
