"""Buckets of gradients: which are summed together while backward goes on.

=========  ======================================================================
megatron   a bucket closes with the layer that fills it
torch      a bucket closes with the parameter tensor that fills it, counted in the
           format of the parameters, whatever format is sent (DDP's reducer, after it
           has seen one backward)
=========  ======================================================================

The last bucket takes what is left.

Limits: a bucket's sum begins when the backward of the layer that fills it has ended,
though tensors in the middle of a layer may have filled it before.

Source: torch 2.13, c10/d/reducer.cpp, compute_bucket_assignment_by_size; a plan always
names the size, so torch's smaller first bucket, for a size left out, does not occur.
"""

from __future__ import annotations

from collections.abc import Sequence

from models.model import Layer
from simulator.lowering.formats import element_bytes
from simulator.lowering.stages import layer_parameters
from simulator.lowering.tensors import layer_tensors
from simulator.plan import Plan
from topologies.units import Bytes


def buckets(
    plan: Plan, layers: Sequence[Layer], *, has_copy: bool
) -> list[tuple[Bytes, ...]]:
    """Return the buckets that each layer closes, as they are sent [B].

    Args:
        plan: whose buckets they are.
        layers: in the order of their backward.
        has_copy: whether layers tied to another stage have copies of its table.
    """
    sent = element_bytes(plan.training.gradient_precision)
    tensor, cap = plan.parallelism.tensor, plan.synchronization.bucket
    is_torch = plan.training.framework == "torch"
    counted = element_bytes(plan.training.precision) if is_torch else sent
    closed: list[tuple[Bytes, ...]] = []
    filled = 0.0
    for layer in layers:
        parts: Sequence[float] = (
            layer_tensors(layer, tensor, is_tied_copy=has_copy)
            if is_torch
            else (layer_parameters(layer, tensor, is_tied_copy=has_copy),)
        )
        own: list[Bytes] = []
        for part in parts:
            filled += part
            if counted * filled >= cap:
                own.append(sent * filled)
                filled = 0.0
        closed.append(tuple(own))
    if filled:
        closed[-1] = (*closed[-1], sent * filled)
    return closed
