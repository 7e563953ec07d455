"""Recomputation as GPipe does it: early, and not of the first backward pass.

A stage needs nobody to compute its forward again, so it may do so while it waits for
the gradient of its output. One micro-batch's activations may be there when backward
passes begin: with GPipe, which takes them in reverse, the last to have gone forward; in
our schedules, which keep the order, the first. Times and memory are the same.

Limits: where gradients are summed during the last backward passes, those recompute as
others do; of backward passes in two parts, the activations of a micro-batch that was
not dropped are counted until the first.

Source: Huang et al., arXiv:1811.06965, section 2.3, figure 2; kakaobrain/torchgpipe,
torchgpipe/checkpoint.py, for the checkpoint modes.
"""

from __future__ import annotations

from typing import NamedTuple

from simulator.lowering.emitter import Emitter
from simulator.lowering.schedules.actions import Action
from simulator.lowering.staged import LoweredStage, make_share, plan_passes
from simulator.plan import Plan
from simulator.workload import Body, Item, Repeat


class Backward(NamedTuple):
    """What a backward pass does.

    Fields:
        body: once the gradient of its output is there.
        before: what it need not wait for; None for nothing.
    """

    body: Body
    before: Body | None = None


def backward_of(
    emitter: Emitter, plan: Plan, lowered: LoweredStage, action: Action
) -> Backward:
    """Return what a pass does, of a stage that may recompute early or not at all."""
    if not recomputes_apart(plan, action):
        return Backward(lowered.bodies[action.kind])
    where = f"of stage {lowered.stage.index}"
    plain = emitter.body(
        ("plain", action.kind, lowered.stage.index),
        f"backward {where}",
        "backward",
        *_without_recomputation(plan, lowered, action),
    )
    if _is_kept(plan, action):
        return Backward(plain)
    runs = lowered.passes, lowered.stage.runs()
    again = (
        Repeat(passes.forward, count)
        for (passes, count), (layer, _) in zip(*runs, strict=True)
        if layer.role == "block"
    )
    again_body = emitter.body(
        ("again", lowered.stage.index), f"recomputation {where}", "forward", *again
    )
    return Backward(plain, again_body)


def recomputes_apart(plan: Plan, action: Action) -> bool:
    """Return whether a pass recomputes at a time of its own, or not at all."""
    mesh = plan.parallelism
    if mesh.recompute != "full" or action.kind not in {"B", "I"} or plan.stage_times:
        return False
    return mesh.recompute_early or _is_kept(plan, action)


def _is_kept(plan: Plan, action: Action) -> bool:
    return is_first_kept(plan) and action.microbatch == 0


def is_first_kept(plan: Plan) -> bool:
    """Return whether the first micro-batch to go back keeps its activations."""
    mesh = plan.parallelism
    return mesh.recompute == "full" and not mesh.recompute_all


def _without_recomputation(
    plan: Plan, lowered: LoweredStage, action: Action
) -> tuple[Item, ...]:
    """Return the items of a backward pass whose activations are there."""
    share, is_whole = make_share(plan), action.kind == "B"
    items: list[Item] = [*lowered.before_backward]
    for layer, count in reversed(lowered.stage.runs()):
        passes = plan_passes(plan, layer, share, "none")
        own = passes.backward if is_whole else passes.backward_input
        items.append(Repeat(own, count))
    return tuple(items)
