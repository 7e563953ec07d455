"""Pushes to parameter servers and pulls from them, beside the passes.

After a bucket's backward its gradients are pushed; parameters are pulled as soon as
they are new, on a stream of their own, or before the next step's forward needs them.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from simulator.lowering.emitter import Draft, Emitter
from simulator.lowering.formats import element_bytes
from simulator.lowering.stages import layer_parameters
from simulator.plan import Plan
from simulator.workload import Body, HostTask, Item, Message
from topologies.units import Bytes

if TYPE_CHECKING:
    from simulator.lowering.staged import LoweredStage


def is_served(plan: Plan) -> bool:
    """Return whether weights are on parameter servers.

    A single replica has its weights on its own devices, unless they are on the host.
    """
    sync = plan.synchronization
    is_away = plan.parallelism.replicas > 1 or sync.sum_on == "host"
    return is_away and sync.scheme == "parameter-server"


def is_pulled_first(plan: Plan) -> bool:
    """Return whether a step begins by pulling what its forward needs."""
    sync = plan.synchronization
    return is_served(plan) and sync.overlap and sync.pull != "after-push"


def emit_pull(emitter: Emitter, plan: Plan, pushed: Hashable, size: Bytes) -> None:
    """Emit the pull of parameters that follows a push at once, if any does.

    Args:
        emitter: of the step.
        plan: of the step.
        pushed: key of the push.
        size: of the gradients that it pushed [B].
    """
    if not is_served(plan) or is_pulled_first(plan):
        return
    (rank,) = emitter.drafts[emitter.index[pushed]].ranks
    body = Body("parameters", "message", (pulled(plan, size),))
    emitter.emit(("pull", pushed), Draft("pull", (rank,), "pull", body, (pushed,)))


def emit_pulled_forward(
    emitter: Emitter, plan: Plan, lowered: LoweredStage, key: Hashable, rank: int
) -> None:
    """Emit the first forward in segments, each behind the pull of its parameters.

    Segments are cut as buckets of the backward are, from the other end, unless all is
    pulled before the first. All pulls are asked for at the beginning.
    """
    is_cut = plan.synchronization.pull == "before-use"
    element = element_bytes(plan.training.precision)
    segments: list[tuple[list[Item], Bytes]] = [([HostTask("batch", "pass")], 0.0)]
    for (passes, count), (layer, _) in zip(
        lowered.passes, lowered.stage.runs(), strict=True
    ):
        parameters = layer_parameters(
            layer, plan.parallelism.tensor, is_tied_copy=False
        )
        for _ in range(count):
            items, size = segments.pop()
            segments.append(([*items, *passes.forward], size + element * parameters))
            if is_cut and segments[-1][1] >= plan.synchronization.bucket:
                segments.append(([], 0.0))
    if not segments[-1][0]:
        segments.pop()
    for number, (_, size) in enumerate(segments):
        body = Body("parameters", "message", (_parameters(size),))
        draft = Draft(f"pull {number}", (rank,), "pull", body)
        emitter.emit(("pull", number), draft)
    for number, (items, _) in enumerate(segments):
        body = Body(f"forward of segment {number}", "forward", tuple(items))
        own: Hashable = key if number == len(segments) - 1 else (key, number)
        waits = number == 0
        after = (("pull", number),)
        emitter.emit(own, Draft(str(key), (rank,), "compute", body, after, waits))


def pushed(size: Bytes) -> Message:
    """Return the push of gradients to servers."""
    return Message("gradients", "push", "data", size)


def pulled(plan: Plan, size: Bytes) -> Message:
    """Return the pull of parameters whose gradients were pushed.

    They come in the format of compute, whatever that of the gradients.

    Args:
        plan: of the step.
        size: of the gradients [B].
    """
    training = plan.training
    gradient = element_bytes(training.gradient_precision)
    return _parameters(element_bytes(training.precision) * size / gradient)


def _parameters(size: Bytes) -> Message:
    return Message("parameters", "pull", "data", size)
