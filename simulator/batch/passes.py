"""Time of all passes of a pipeline, in closed form."""

from __future__ import annotations

from typing import cast

from simulator.batch.context import Context
from simulator.costs.elementwise import floor, maximum, minimum, where
from simulator.lowering.formats import element_bytes
from simulator.lowering.staged import sends_parts
from simulator.lowering.tensor_split import gather_received
from simulator.pricing.price import NOTHING, Price
from simulator.workload import HostTask, Message
from topologies.units import Bytes, Count, Seconds


def passes_time(context: Context) -> float:
    """Return the time from the first forward to the last backward."""
    layers, pricer = context.layers, context.pricer
    pipeline, chunks = context.splits.pipeline, context.splits.chunks
    microbatches = context.microbatches
    count = context.model.num_blocks / (pipeline * chunks)
    begin = pricer.item(HostTask("pass", "pass"), "forward")
    received = _received(context)
    block_forward = layers.block[0].repeat(count)
    block_backward = layers.block[1].repeat(count)
    whole_forward = begin.then(layers.embedding[0]).then(block_forward)
    whole_backward = block_backward.then(layers.embedding[1])
    forward = {
        "first": whole_forward,
        "middle": begin.then(received).then(block_forward),
        "last": begin.then(received).then(block_forward).then(layers.head[0]),
    }
    backward = {
        "first": received.then(whole_backward),
        "middle": received.then(block_backward),
        "last": layers.head[1].then(block_backward),
    }
    single = whole_forward.then(layers.head[0]).then(layers.head[1])
    single = single.then(whole_backward)
    near, far, all_sends = _send_times(context)
    is_gpipe = context.plan.parallelism.schedule == "gpipe"
    directions = (
        [_issued(forward), _issued(backward)]
        if is_gpipe
        else [_added(_issued(forward), _issued(backward))]
    )
    num_sends, sends = (1, far) if is_gpipe else (2, far + near)
    total = 0.0
    for stage in directions:
        others = (chunks - 1) * stage["middle"] + chunks * sends
        ends = maximum(stage["first"], stage["last"]) - far
        middle = where(pipeline > 2, stage["middle"], 0.0)
        bottleneck = others + maximum(ends, middle)
        fill = stage["first"] + stage["last"] + (pipeline - 2) * stage["middle"]
        drain = num_sends * all_sends
        again = (chunks - 1) * (stage["middle"] + sends)
        total = total + (microbatches - 1) * bottleneck + again + fill + drain
    return where(pipeline > 1, total, microbatches * single.issued)


def _issued(stages: dict[str, Price]) -> dict[str, Seconds]:
    return {name: price.issued for name, price in stages.items()}


def _added(one: dict[str, Seconds], other: dict[str, Seconds]) -> dict[str, Seconds]:
    return {name: time + other[name] for name, time in one.items()}


def _send_times(context: Context) -> tuple[Seconds, Seconds, Seconds]:
    """Return the time of the fastest transfer, the slowest, and one over each boundary.

    Where a node holds several stages, only the boundaries between nodes are far.
    """
    splits, pricer = context.splits, context.pricer
    parts = splits.tensor if sends_parts(context.plan) else 1
    size = _boundary_bytes(context) / parts
    last = splits.pipeline - 1

    def send(receiver: Count) -> Seconds:
        pair = cast("tuple[int, int]", (0, receiver))
        message = Message("send", "send", "pipeline", size, pair)
        return pricer.item(message, "message").issued

    replica = splits.tensor * splits.data
    num_far = minimum(last, floor(last * replica / pricer.cluster.devices_per_node))
    near, far = send(1), send(last)
    return near, far, num_far * far + (last - num_far) * near


def _received(context: Context) -> Price:
    """Return the gathering of a received activation over the tensor ranks."""
    if context.plan.parallelism.sequence or not sends_parts(context.plan):
        return NOTHING
    size = _boundary_bytes(context)
    return context.pricer.item(gather_received(size), "message")


def _boundary_bytes(context: Context) -> Bytes:
    """Return the activations handed from a stage to the next, all tensor ranks [B]."""
    block = next(layer for layer in context.model.layers if layer.role == "block")
    element = element_bytes(context.plan.training.precision)
    return element * block.output_elements * context.splits.micro
