"""Time from the last backward to the end of the step, in closed form."""

from __future__ import annotations

from simulator.batch.context import Context
from simulator.costs.elementwise import ceil, maximum, where
from simulator.lowering.formats import NORM_BYTES
from simulator.lowering.states import plan_traffic
from simulator.workload import HostTask
from topologies.units import Bytes, Seconds


def ending_time(context: Context) -> Seconds:
    """Return the time of gradient sums, norm and optimizer."""
    plan, splits = context.plan, context.splits
    first, last = context.parameters()
    size = context.gradient_element * first
    if plan.synchronization.overlap:
        sync = _exposed_time(context, size)
    else:
        sync = context.all_reduce_time("data", size)
    tied = context.gradient_element * context.tied / splits.tensor
    embedding = where(
        (splits.pipeline > 1) & (context.tied > 0),
        context.all_reduce_time("embedding", tied),
        0.0,
    )
    norm = context.all_reduce_time("model", NORM_BYTES)
    pricer = context.pricer
    bandwidth = (
        pricer.profile.memory_efficiency * pricer.cluster.device.memory_bandwidth
    )
    moved = plan_traffic(plan) * maximum(first, last) / bandwidth
    return (
        sync
        + embedding
        + norm
        + pricer.item(HostTask("step", "step"), "step").issued
        + moved
    )


def _exposed_time(context: Context, size: Bytes) -> Seconds:
    """Return what bucketed gradient sums add to the last backward.

    All but the last are beside it, which they slow: max(m, c + m · κ / (1 + κ)) with m
    those sums and c the backward (`Price.beside`), and then the last.
    """
    splits, layers = context.splits, context.layers
    blocks = context.model.num_blocks / splits.pipeline
    block_size = context.gradient_element * layers.parameters[1]
    per_bucket = ceil(context.plan.synchronization.bucket / block_size)
    num_buckets = ceil(blocks / per_bucket) + 1
    one = context.all_reduce_time("data", size / num_buckets)
    backward = layers.block[1].issued * maximum(blocks - per_bucket, 0)
    slowdown = context.pricer.profile.overlap_slowdown
    lost = (num_buckets - 1) * one * (slowdown / (1.0 + slowdown))
    exposed = maximum(one + lost, num_buckets * one - backward)
    return where(splits.data > 1, exposed, 0.0)
