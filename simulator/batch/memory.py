"""Peak memory of every plan of a batch, in closed form."""

from __future__ import annotations

from simulator.batch.context import Context
from simulator.costs.elementwise import maximum, minimum, where
from simulator.lowering.states import states_of
from topologies.units import Bytes


def peak_memory(context: Context) -> Bytes:
    """Return the memory of the fuller of first and last rank [B]."""
    plan, splits, layers = context.plan, context.splits, context.layers
    per_parameter = sum(states_of(plan))
    embedding, block, head = layers.kept
    blocks = block * context.model.num_blocks / (splits.pipeline * splits.chunks)
    microbatches = context.microbatches
    pipeline, chunks = splits.pipeline, splits.chunks
    depth = minimum(microbatches, pipeline)
    if plan.parallelism.schedule == "gpipe":
        depth = microbatches
    warm_up = 2 * (pipeline - 1) + (chunks - 1) * pipeline + 1
    in_flight = where(chunks > 1, minimum(warm_up, microbatches * chunks), depth)
    is_single = pipeline == 1
    first_chunk = where(chunks > 1, minimum(microbatches, 2 * pipeline), depth)
    first = in_flight * blocks + first_chunk * embedding
    # The last rank turns round at once, but for GPipe and a single round of chunks.
    is_all_first = (chunks > 1) & (microbatches == pipeline)
    if plan.parallelism.schedule == "gpipe":
        is_all_first = is_all_first | (chunks == 1)
    ending = where(is_all_first, microbatches * chunks, (chunks - 1) * pipeline + 1)
    last = minimum(ending, microbatches * chunks) * blocks
    parameters = context.parameters()
    in_block, in_head = layers.during
    # The head's backward comes first; a block's, when the head is done with one.
    without = where(is_all_first, microbatches - 1, 0.0) * head
    heads = where(is_all_first, microbatches, 1.0) * head
    ends = maximum(heads + in_head, without + in_block)
    first = first + where(is_single, ends, in_block)
    peak = maximum(
        per_parameter * parameters[0] + first,
        per_parameter * parameters[1] + last + where(is_single, 0.0, ends),
    )
    buckets = where(splits.data > 1, 2 * plan.synchronization.bucket, 0.0)
    buffers = buckets if plan.synchronization.overlap else 0.0
    profile = context.pricer.profile
    return (1 + profile.allocator_share) * (peak + buffers) + profile.device_overhead
