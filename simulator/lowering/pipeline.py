"""A rank's forward and backward passes, its sends, and its gradient buckets."""

from __future__ import annotations

from collections.abc import Hashable

from simulator.lowering.emitter import Draft, Emitter
from simulator.lowering.formats import element_bytes
from simulator.lowering.schedules import Action, Kind
from simulator.lowering.staged import LoweredStage
from simulator.lowering.stages import layer_parameters
from simulator.plan import Plan
from simulator.workload import Body, Item, Message, Stream
from topologies.units import Bytes


def emit_passes(
    emitter: Emitter,
    plan: Plan,
    stages: tuple[LoweredStage, ...],
    rank: int,
    row: tuple[Action, ...],
) -> None:
    """Emit a rank's forward and backward passes with the sends that follow them.

    Sends are synchronous, as in Megatron until 2022: the rank's next pass waits for
    its last send, and the host for both ends of each transfer. Without a pipeline the
    host waits once per micro-batch, to read its loss.
    """
    pipeline = plan.parallelism.pipeline
    last_microbatch = plan.num_microbatches - 1
    is_bucketed = plan.synchronization.overlap and plan.parallelism.data > 1
    sends: tuple[Hashable, ...] = ()
    num_stages = len(stages)
    ranks = (rank,)
    kinds: tuple[Kind, ...] = ("F", "B")
    transfers = {
        (kind, stage): _transfer(emitter, plan, stages, kind, stage)
        for kind in kinds
        for stage in range(rank, num_stages, pipeline)
    }
    for action in row:
        stage, kind, microbatch = action
        lowered = stages[stage]
        is_forward = kind == "F"
        source = stage - 1 if is_forward else stage + 1
        after = sends
        if 0 <= source < num_stages:
            after = (("send", kind, source, microbatch), *sends)
        waits = pipeline > 1 or is_forward
        name = f"{stage}{kind}{microbatch}"
        if not is_forward and is_bucketed and microbatch == last_microbatch:
            _emit_bucketed_backward(emitter, plan, lowered, action, after)
        else:
            body = lowered.forward if is_forward else lowered.backward
            draft = Draft(name, ranks, "compute", body, after, waits)
            emitter.emit(action, draft)
        transfer = transfers[kind, stage]
        sends = ()
        if transfer is not None:
            stream, sent = transfer
            key = ("send", kind, stage, microbatch)
            draft = Draft(f"send {name}", ranks, stream, sent, (action,))
            emitter.emit(key, draft)
            sends = (key,)


def _transfer(
    emitter: Emitter,
    plan: Plan,
    stages: tuple[LoweredStage, ...],
    kind: Kind,
    stage: int,
) -> tuple[Stream, Body] | None:
    """Return the stream and body of a pass's send; None at the pipeline's ends."""
    pipeline = plan.parallelism.pipeline
    target = stage + 1 if kind == "F" else stage - 1
    if not 0 <= target < len(stages):
        return None
    boundary = min(stage, target)
    size = _boundary_bytes(plan, stages[boundary])
    pair = (stage % pipeline, target % pipeline)
    body = emitter.body(
        ("send", kind, boundary),
        f"send {kind} between stages {boundary} and {boundary + 1}",
        "message",
        Message(f"send {kind}", "send", "pipeline", size, pair),
    )
    return ("send-forward" if kind == "F" else "send-backward"), body


def _boundary_bytes(plan: Plan, lowered: LoweredStage) -> Bytes:
    """Return the activations that a tensor rank hands to the next stage [B]."""
    elements = lowered.stage.layers[-1].output_elements * plan.batch.micro
    size = element_bytes(plan.training.precision) * elements
    return size / plan.parallelism.tensor


def _emit_bucketed_backward(
    emitter: Emitter,
    plan: Plan,
    lowered: LoweredStage,
    action: Action,
    after: tuple[Hashable, ...],
) -> None:
    """Emit the last backward in segments, each followed by its bucket's all-reduce.

    A bucket closes with the layer that fills it, as gradients become ready in reverse
    order; the last one takes what is left.
    """
    gradient = element_bytes(plan.training.gradient_precision)
    layers = [
        (passes.backward, layer)
        for (passes, count), (layer, _) in reversed(
            list(zip(lowered.passes, lowered.stage.runs(), strict=True))
        )
        for _ in range(count)
    ]
    items: list[Item] = [*lowered.before_backward]
    filled, number = 0.0, 0
    pipeline = plan.parallelism.pipeline
    ranks = (action.stage % pipeline,)
    for position, (backward, layer) in enumerate(layers):
        items += backward
        filled += gradient * layer_parameters(
            layer, plan.parallelism.tensor, is_tied_copy=pipeline > 1
        )
        is_last = position == len(layers) - 1
        if filled < plan.synchronization.bucket and not is_last:
            continue
        key: Hashable = action if is_last else (action, number)
        body = Body(f"backward of bucket {number}", "backward", tuple(items))
        waits = pipeline > 1 and number == 0
        emitter.emit(key, Draft(str(action), ranks, "compute", body, after, waits))
        message = Message("gradients", "all-reduce", "data", filled)
        body = Body(f"gradients of bucket {number}", "message", (message,))
        name = f"bucket {number} of stage {action.stage}"
        emitter.emit(
            ("bucket", action, number), Draft(name, ranks, "data", body, (key,))
        )
        items, filled, after = [], 0.0, ()
        number += 1
