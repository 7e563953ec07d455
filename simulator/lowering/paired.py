"""A forward and a backward pass that run as one: they take turns at their messages.

A device computes a turn of the backward, one of the forward, and so on; when one pass
is through, the rest of the other follows. What a turn sends goes on a stream of its
own, one message after the other, while the other pass computes. Of mixture layers that
is what DeepSeek-V3 does:

    compute    B sum | F attention | B experts | F experts | B attention, sum | F sum …
    exchange         | B combine   | F dispatch| B dispatch| F combine        | B …

The backward is first, as its block begins with what it sends back to the experts. A
pass begins when what it receives is there and the turns ahead of it are done; a host
that waits for receives waits for both before it issues either. What a pass sends to the
next stage leaves when the pass is through.

Assumes: turns alternate, however long they are; all messages of either pass take part,
those of tensor ranks too. The order is the host's, and nothing changes it at run time.
A pass that sends nothing by itself runs in one turn, behind the first of the other.

Limits: passes that gather parameters or sum gradients between their layers, or compute
again at a time of their own, are not cut further: such a pair runs one after the other.

Source: DeepSeek-V3, arXiv:2412.19437, section 3.2.1, from memory; the same order is in
NVIDIA/Megatron-LM, megatron/core/models/common/model_chunk_schedule_plan.py
(`TransformerLayerSchedulePlan.run`), and in words in Ascend/MindSpeed,
docs/features/megatron_moe/megatron-moe-fb-overlap.md.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from simulator.lowering.emitter import Draft, Emitter
from simulator.lowering.scales import agreed_scales
from simulator.lowering.schedules.actions import Action
from simulator.lowering.staged import LoweredStage
from simulator.lowering.turns import Cutter, Run, Turn, items_of
from simulator.plan import Plan
from simulator.workload import Body, Phase


class Strand(NamedTuple):
    """One of the two passes.

    Fields:
        action: the pass.
        after: what its first turn waits for.
        turns: in order.
    """

    action: Action
    after: tuple[Hashable, ...]
    turns: tuple[Turn, ...]

    @property
    def phase(self) -> Phase:
        """Whose host costs apply."""
        return "forward" if self.action.kind == "F" else "backward"


@dataclass(frozen=True, slots=True)
class Turns:
    """Cuts passes of a rank; each kind of each stage once.

    Fields:
        plan: of the step.
        stages: all of them.
        known: turns by stage, and by whether they are of a forward.
    """

    plan: Plan
    stages: tuple[LoweredStage, ...]
    known: dict[tuple[int, bool], tuple[Turn, ...]] = field(default_factory=dict)

    def of(self, action: Action) -> tuple[Turn, ...]:
        """Return the turns of a forward or a whole backward."""
        key = (action.stage, action.kind == "F")
        if key not in self.known:
            low = self.stages[action.stage]
            cut = _forward if action.kind == "F" else _backward
            self.known[key] = cut(self.plan, low)
        return self.known[key]

    def are_several(self, *actions: Action) -> bool:
        """Return whether any of some passes sends something."""
        return any(len(self.of(action)) > 1 for action in actions)


def _forward(_: Plan, low: LoweredStage) -> tuple[Turn, ...]:
    cutter = Cutter("forward")
    cutter.add(low.bodies["F"].items)
    return cutter.finish()


def _backward(plan: Plan, low: LoweredStage) -> tuple[Turn, ...]:
    cutter = Cutter("backward")
    if plan.stage_times is not None:
        cutter.add(low.bodies["B"].items)
        return cutter.finish()
    cutter.add(low.before_backward)
    for passes, count in reversed(low.passes):
        for _ in range(count):
            cutter.add_gradients(passes.parts)
    _, scales = agreed_scales(plan, low.stage)
    cutter.add(scales)
    return cutter.finish()


def emit_pair(
    emitter: Emitter, rank: int, forward: Strand, backward: Strand, *, waits: bool
) -> Iterator[Action]:
    """Emit two passes in turns, and yield each of them when it is through.

    Args:
        emitter: of the step.
        rank: of the pipeline.
        forward, backward: the passes.
        waits: whether the host issues neither before what both wait for.
    """
    strands = [backward, forward] if len(backward.turns) > 1 else [forward, backward]
    if waits:
        first, second = strands
        strands[0] = first._replace(after=(*first.after, *second.after))
    for number in range(max(len(strand.turns) for strand in strands)):
        for strand in strands:
            if number < len(strand.turns):
                is_first = number == 0 and strand is strands[0]
                _emit_turn(emitter, rank, strand, number, waits=waits and is_first)
            if number == len(strand.turns) - 1:
                yield strand.action


def _emit_turn(
    emitter: Emitter, rank: int, strand: Strand, number: int, *, waits: bool
) -> None:
    """Emit a turn; the last one has the key of its pass."""
    action, turn, where = strand.action, strand.turns[number], (rank,)
    is_last = number == len(strand.turns) - 1
    key: Hashable = action if is_last else (action, number)
    after = strand.after if number == 0 else (("sent", action, number - 1),)
    body = _run_body(emitter, turn.works, strand.phase)
    name = str(action)
    emitter.emit(key, Draft(name, where, "compute", body, after, waits))
    if turn.messages:
        first = turn.messages[0].name
        of_messages = ("messages", *turn.messages)
        body = emitter.body(of_messages, first, "message", *turn.messages)
        sent = Draft(f"{first} of {action}", where, "exchange", body, (key,))
        emitter.emit(("sent", action, number), sent)
    if turn.beside:
        body = _run_body(emitter, turn.beside, strand.phase)
        emitter.emit(("beside", action, number), Draft(name, where, "compute", body))


def _run_body(emitter: Emitter, run: Run, phase: Phase) -> Body:
    """Return the body of some kernels; of equal layers, one is priced for all.

    They are known by identity, which lasts as long as the body that holds them.
    """
    key = ("run", phase, *((id(item), own) for item, own in run))
    if key not in emitter.bodies:
        name = f"part of a {phase} pass"
        emitter.bodies[key] = Body(name, phase, tuple(items_of(run, phase)))
    return emitter.bodies[key]
