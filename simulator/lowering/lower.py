"""Lowering: from a plan to the ops of one training step.

One rank is emitted per pipeline rank; it stands for the tensor x data ranks that do
the same. The way of a step: forward and backward passes in the schedule's order, with
transfers between stages; gradients all-reduced over data, in buckets during the last
backward passes or at the end; tied embeddings summed; the gradient norm agreed on;
the optimizer.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from models.model import Model
from models.work import Share, Work, memory_work
from simulator.lowering.formats import element_bytes, optimizer_traffic
from simulator.lowering.passes import Passes, gather_received, layer_passes
from simulator.lowering.schedules import Action, Schedule, schedule
from simulator.lowering.stages import (
    Stage,
    cut,
    layer_parameters,
    replicated_parameters,
    tied_parameters,
)
from simulator.plan import Plan
from simulator.workload import (
    Body,
    HostTask,
    Item,
    Message,
    Op,
    Phase,
    Repeat,
    Role,
    Stream,
    Workload,
)
from topologies.units import Bytes

_NORM_BYTES = 4
"""The gradient norm is agreed on as one fp32 number."""


@dataclass(frozen=True, slots=True, eq=False)
class LoweredStage:
    """What one virtual stage does and holds on one device.

    Fields:
        stage: its layers.
        forward, backward: bodies of one micro-batch.
        before_backward: what precedes the first layer's backward.
        passes: items layer by layer, runs of equal layers once.
        parameters: on one tensor rank [1].
        gradient_bytes: of one replica's gradients on one tensor rank [B].
    """

    stage: Stage
    forward: Body
    backward: Body
    before_backward: tuple[Item, ...]
    passes: tuple[tuple[Passes, int], ...]
    parameters: float
    gradient_bytes: Bytes


def lower(plan: Plan, stages: tuple[LoweredStage, ...]) -> Workload:
    """Return the workload of one training step, folded to one rank a stage."""
    rows = rows_of(plan)
    emitter = _Emitter()
    for rank, row in enumerate(rows):
        _emit_passes(emitter, plan, stages, rank, row)
        _emit_gradient_sync(emitter, plan, stages, rank)
    _emit_tied_embedding(emitter, plan, stages)
    _emit_gradient_norm(emitter, plan)
    for rank in range(plan.parallelism.pipeline):
        _emit_optimizer(emitter, plan, stages, rank)
    multiplicity = plan.parallelism.tensor * plan.parallelism.data
    roles = tuple(Role(0, rank, 0, multiplicity) for rank in range(len(rows)))
    return Workload(roles, emitter.resolve())


def lower_stages(plan: Plan, model: Model) -> tuple[LoweredStage, ...]:
    """Return every virtual stage with its bodies and parameters."""
    tensor = plan.parallelism.tensor
    share = make_share(plan)
    num_stages = plan.parallelism.pipeline * plan.parallelism.virtual_stages
    gradient = element_bytes(plan.training.gradient_precision)
    lowered = []
    for stage in cut(model, num_stages):
        passes = tuple(
            (layer_passes(layer, share, plan.parallelism.recompute), count)
            for layer, count in stage.runs()
        )
        parameters = sum(
            layer_parameters(layer, tensor, is_tied_copy=num_stages > 1)
            for layer in stage.layers
        )
        forward = (
            HostTask("batch and loss", "pass"),
            *_received(plan, model, has_sender=stage.index > 0),
            *(Repeat(p.forward, count) for p, count in passes),
        )
        before_backward = _received(
            plan, model, has_sender=stage.index < num_stages - 1
        )
        backward = (Repeat(p.backward, count) for p, count in reversed(passes))
        lowered.append(
            LoweredStage(
                stage,
                Body(f"forward of stage {stage.index}", "forward", forward),
                Body(
                    f"backward of stage {stage.index}",
                    "backward",
                    (*before_backward, *backward),
                ),
                before_backward,
                passes,
                parameters,
                gradient * parameters,
            )
        )
    return tuple(lowered)


def _received(plan: Plan, model: Model, *, has_sender: bool) -> tuple[Item, ...]:
    """Return what a stage does with what it receives, before it can use it.

    Each tensor rank was sent its part only (Megatron's scatter/gather optimization,
    arXiv:2104.04473, section 4.1), and the ranks gather the whole in their node.
    Under sequence parallelism they work on parts anyway.
    """
    tensor = plan.parallelism.tensor
    if not has_sender or tensor == 1 or plan.parallelism.sequence:
        return ()
    block = next(layer for layer in model.layers if layer.role == "block")
    elements = block.output_elements * plan.batch.micro
    return (gather_received(element_bytes(plan.training.precision) * elements),)


def make_share(plan: Plan) -> Share:
    """Return one device's share of a layer for one micro-batch."""
    tensor = plan.parallelism.tensor
    return Share(
        samples=plan.batch.micro,
        tensor=tensor,
        sequence=tensor if plan.parallelism.sequence else 1,
        element=element_bytes(plan.training.precision),
    )


def stages_of(
    stages: tuple[LoweredStage, ...], rank: int, pipeline: int
) -> tuple[LoweredStage, ...]:
    """Return the virtual stages of one pipeline rank."""
    return stages[rank::pipeline]


@dataclass(slots=True)
class _Emitter:
    """Collects ops whose dependencies are keys, and numbers them at the end."""

    drafts: list[tuple[str, tuple[int, ...], Stream, Body, list[Hashable], bool]] = (
        field(default_factory=list)
    )
    index: dict[Hashable, int] = field(default_factory=dict)
    bodies: dict[Hashable, Body] = field(default_factory=dict)

    def emit(  # noqa: PLR0913 - the fields of an op
        self,
        key: Hashable,
        name: str,
        ranks: tuple[int, ...],
        stream: Stream,
        body: Body,
        after: Iterable[Hashable] = (),
        *,
        host_waits: bool = False,
    ) -> None:
        self.index[key] = len(self.drafts)
        self.drafts.append((name, ranks, stream, body, list(after), host_waits))

    def body(self, key: Hashable, name: str, phase: Phase, *items: Item) -> Body:
        """Return the one body of `key`, made at its first use."""
        if key not in self.bodies:
            self.bodies[key] = Body(name, phase, items)
        return self.bodies[key]

    def resolve(self) -> tuple[Op, ...]:
        """Return the ops, with every key replaced by the op that it names."""
        index = self.index
        return tuple(
            Op(name, ranks, stream, body, tuple([index[k] for k in after]), waits)
            for name, ranks, stream, body, after, waits in self.drafts
        )


def _emit_passes(
    emitter: _Emitter,
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
    sends: list[Hashable] = []
    for action in row:
        stage, kind, microbatch = action
        lowered = stages[stage]
        source = stage - 1 if kind == "F" else stage + 1
        target = stage + 1 if kind == "F" else stage - 1
        receives: list[Hashable] = (
            [("send", kind, source, microbatch)] if 0 <= source < len(stages) else []
        )
        after = receives + sends
        waits = pipeline > 1 or kind == "F"
        if kind == "B" and is_bucketed and microbatch == last_microbatch:
            _emit_bucketed_backward(emitter, plan, lowered, rank, action, after)
        else:
            body = lowered.forward if kind == "F" else lowered.backward
            emitter.emit(
                action, str(action), (rank,), "compute", body, after, host_waits=waits
            )
        sends = []
        if 0 <= target < len(stages):
            key = ("send", kind, stage, microbatch)
            stream: Stream = "send-forward" if kind == "F" else "send-backward"
            boundary = min(stage, target)
            size = _boundary_bytes(plan, stages[boundary])
            pair = (stage % pipeline, target % pipeline)
            body = emitter.body(
                ("send", kind, boundary),
                f"send {kind} between stages {boundary} and {boundary + 1}",
                "message",
                Message(f"send {kind}", "send", "pipeline", size, pair),
            )
            emitter.emit(key, f"send {action}", (rank,), stream, body, [action])
            sends = [key]


def _boundary_bytes(plan: Plan, lowered: LoweredStage) -> Bytes:
    """Return the activations that a tensor rank hands to the next stage [B]."""
    elements = lowered.stage.layers[-1].output_elements * plan.batch.micro
    size = element_bytes(plan.training.precision) * elements
    return size / plan.parallelism.tensor


def _emit_bucketed_backward(  # noqa: PLR0913 - an op's context
    emitter: _Emitter,
    plan: Plan,
    lowered: LoweredStage,
    rank: int,
    action: Action,
    after: list[Hashable],
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
    is_tied_copy = plan.parallelism.pipeline > 1
    for position, (backward, layer) in enumerate(layers):
        items += backward
        filled += gradient * layer_parameters(
            layer, plan.parallelism.tensor, is_tied_copy=is_tied_copy
        )
        is_last = position == len(layers) - 1
        if filled < plan.synchronization.bucket and not is_last:
            continue
        key: Hashable = action if is_last else (action, number)
        emitter.emit(
            key,
            str(action),
            (rank,),
            "compute",
            Body(f"backward of bucket {number}", "backward", tuple(items)),
            after,
            host_waits=plan.parallelism.pipeline > 1 and number == 0,
        )
        emitter.emit(
            ("bucket", action, number),
            f"bucket {number} of stage {action.stage}",
            (rank,),
            "data",
            Body(
                "gradients",
                "message",
                (Message("gradients", "all-reduce", "data", filled),),
            ),
            [key],
        )
        items, filled, after = [], 0.0, []
        number += 1


def _emit_gradient_sync(
    emitter: _Emitter, plan: Plan, stages: tuple[LoweredStage, ...], rank: int
) -> None:
    """Emit what follows a rank's last backward: gradient sums that did not overlap."""
    parallelism = plan.parallelism
    mine = stages_of(stages, rank, parallelism.pipeline)
    items: list[Item] = []
    if parallelism.sequence:
        replicated = sum(
            replicated_parameters(layer) for low in mine for layer in low.stage.layers
        )
        size = element_bytes(plan.training.gradient_precision) * replicated
        items.append(Message("norm gradients", "all-reduce", "tensor", size))
    if parallelism.data > 1 and not plan.synchronization.overlap:
        total = sum(low.gradient_bytes for low in mine)
        items.append(Message("gradients", "all-reduce", "data", total))
    body = Body(f"gradients of rank {rank}", "message", tuple(items))
    emitter.emit(
        ("gradients", rank),
        "gradients",
        (rank,),
        "data",
        body,
        _last_backwards(plan, mine),
    )


def _last_backwards(plan: Plan, mine: tuple[LoweredStage, ...]) -> list[Hashable]:
    last = plan.num_microbatches - 1
    return [Action(low.stage.index, "B", last) for low in mine]


def _emit_tied_embedding(
    emitter: _Emitter, plan: Plan, stages: tuple[LoweredStage, ...]
) -> None:
    """Emit the sum of the shared table's gradients over first and last stage."""
    pipeline = plan.parallelism.pipeline
    tied = [
        tied_parameters(layer, plan.parallelism.tensor)
        for layer in stages[-1].stage.layers
        if layer.tied_to is not None
    ]
    if pipeline == 1 or not tied:
        return
    size = element_bytes(plan.training.gradient_precision) * sum(tied)
    body = Body(
        "tied embedding",
        "message",
        (Message("tied embedding", "all-reduce", "embedding", size),),
    )
    ends = (0, pipeline - 1)
    after = [("gradients", rank) for rank in ends]
    emitter.emit("embedding", "tied embedding", ends, "data", body, after)


def _emit_gradient_norm(emitter: _Emitter, plan: Plan) -> None:
    """Emit the agreement on the gradient norm, which ends the step's passes."""
    parallelism = plan.parallelism
    ranks = tuple(range(parallelism.pipeline))
    after: list[Hashable] = [("gradients", rank) for rank in ranks]
    if "embedding" in emitter.index:
        after.append("embedding")
    items: tuple[Item, ...] = ()
    if parallelism.pipeline * parallelism.tensor > 1:
        items = (Message("gradient norm", "all-reduce", "model", _NORM_BYTES),)
    body = Body("gradient norm", "message", items)
    emitter.emit("norm", "gradient norm", ranks, "compute", body, after)


def _emit_optimizer(
    emitter: _Emitter, plan: Plan, stages: tuple[LoweredStage, ...], rank: int
) -> None:
    """Emit the optimizer step: a few passes over parameters and their state."""
    mine = stages_of(stages, rank, plan.parallelism.pipeline)
    parameters = sum(low.parameters for low in mine)
    traffic = optimizer_traffic(plan.training.optimizer, plan.training.precision)
    work: Work = memory_work("optimizer", traffic * parameters)
    body = Body(f"optimizer of rank {rank}", "step", (HostTask("step", "step"), work))
    emitter.emit(
        ("optimizer", rank),
        "optimizer",
        (rank,),
        "compute",
        body,
        ["norm"],
        host_waits=True,
    )


def rows_of(plan: Plan) -> Schedule:
    """Return the plan's schedule."""
    return schedule(
        plan.parallelism.schedule,
        plan.parallelism.pipeline,
        plan.num_microbatches,
        plan.parallelism.virtual_stages,
    )
