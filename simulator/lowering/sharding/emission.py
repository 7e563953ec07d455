"""A rank's passes as ops, with what is gathered before and reduced after their parts.

Gathers and reductions are on streams of their own, but go one after the other in the
order in which the host issues them: torch runs both on one communicator. A unit is
gathered at most `prefetch` visits ahead: its gather waits for the end of the visit
before those. In a forward pass the host issues it after the kernels of the unit before,
and overlap comes from a host that runs ahead; in a backward pass before the kernels of
the units that far back. After a part whose gradients are reduced, what follows waits
for the reduction before, whose message is then dropped.

Source: FSDP2 of torch 2.13, `torch/distributed/fsdp/_fully_shard/_fsdp_param_group.py`
(`wait_for_unshard`, `_backward_prefetch`, `post_backward`); the one communicator, Zhao
et al., arXiv:2304.11277, section 3.3.2.

Limits: copies into the messages that are gathered, a share of 1/s, are free; so is what
the host does around a unit beside issuing its message.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from simulator.lowering.emitter import Draft, Emitter
from simulator.lowering.held import added
from simulator.lowering.pipeline import Step
from simulator.lowering.schedules.actions import Action, Kind
from simulator.lowering.sharding.messages import (
    copying_out,
    gathering,
    gathering_again,
    reductions,
)
from simulator.lowering.sharding.rule import Sharding
from simulator.lowering.sharding.units import Part, Unit, parts_of
from simulator.lowering.sharding.visits import Order, Visit, visits_of
from simulator.lowering.staged import LoweredStage, stages_of
from simulator.lowering.states import held_by_zero
from simulator.plan import Plan
from simulator.workload import Body, Item, Repeat, Stream


@dataclass(slots=True)
class ShardedPasses:
    """Emits the passes of one rank, in the order of its schedule.

    Fields:
        step: of which they are.
        rank: of the pipeline.
        rule: how states are divided.
        visits: of the rank.
        order: of those whose gathering goes ahead.
        place: the next visit.
        num_gathered: visits whose gather is emitted [1].
        sent: the last gather or reduction over the ranks that divide the states.
        unawaited: first messages of reductions that compute has not waited for.
        ends: the last reduction on each stream, after which all gradients are summed.
    """

    step: Step
    rank: int
    rule: Sharding
    visits: tuple[Visit, ...]
    order: Order
    place: int = 0
    num_gathered: int = 0
    sent: tuple[Hashable, ...] = ()
    unawaited: list[Hashable] = field(default_factory=list)
    ends: dict[Stream, Hashable] = field(default_factory=dict)

    @classmethod
    def of(cls, step: Step, rank: int, rule: Sharding) -> ShardedPasses:
        """Return what emits the passes of a rank."""
        mine = stages_of(step.stages, rank)
        parts = parts_of(step.plan, rule, mine)
        visits = visits_of(rule, step.rows[rank], parts)
        return cls(step, rank, rule, visits, Order(rule, visits))

    def emit(
        self,
        emitter: Emitter,
        action: Action,
        after: tuple[Hashable, ...],
        *,
        waits: bool,
    ) -> None:
        """Emit the next pass.

        Args:
            emitter: of the step.
            action: the pass.
            after: what its first part waits for.
            waits: whether the host does not issue it before that.
        """
        is_first = True
        while self.place < len(self.visits):
            visit = self.visits[self.place]
            if visit.action != action:
                break
            self._gather_ahead(emitter)
            before = after if is_first else ()
            self._compute(emitter, visit, before, waits=waits and is_first)
            self._reduce(emitter, visit)
            self.place += 1
            is_first = False

    def go_past(self, forward: Action, backward: Action) -> list[Hashable] | None:
        """Return what else two passes wait for; None if they are not to be cut."""
        visits = self.visits[self.place : self.place + 2]
        whole = [visit.action for visit in visits if visit.part is None]
        if whole != [forward, backward]:
            return None
        self.place += 2
        self.num_gathered = max(self.num_gathered, self.place)
        return self._awaited()

    def _key(self, place: int) -> Hashable:
        """Return the key of a visit; the last of a pass has that of the pass."""
        action = self.visits[place].action
        is_last = place + 1 == len(self.visits) or (
            self.visits[place + 1].action != action
        )
        return action if is_last else (action, place)

    def _gather_ahead(self, emitter: Emitter) -> None:
        """Emit the present visit's gather, and in a backward pass those ahead of it."""
        action = self.visits[self.place].action
        ahead = 0 if action.kind == "F" else self.rule.prefetch
        part = self.visits[self.place].part
        if part is not None and part.unit.stage < self.rule.stage:
            ahead = 0
        end = max([self.place, *self.order.ahead(self.place, ahead)]) + 1
        for place in range(self.num_gathered, end):
            visit = self.visits[place]
            if visit.action != action:
                end = place
                break
            if visit.part is None or not visit.is_gathered:
                continue
            unit = visit.part.unit
            is_again = action.kind == "B"
            body = _gather_body(emitter, self.rule, unit, is_again=is_again)
            if not body.items:
                continue
            bound = self.order.behind(place, self.rule.prefetch + 1)
            after = (*self.sent, *([] if bound is None else [self._key(bound)]))
            key = ("gather", self.rank, place)
            name = f"gather {visit.action} {unit.name}"
            emitter.emit(key, Draft(name, (self.rank,), "gather", body, after))
            self.sent = (key,)
        self.num_gathered = max(self.num_gathered, end)

    def _compute(
        self,
        emitter: Emitter,
        visit: Visit,
        after: tuple[Hashable, ...],
        *,
        waits: bool,
    ) -> None:
        gathered = ("gather", self.rank, self.place)
        if gathered in emitter.index:
            after = (*after, gathered)
        after = (*after, *self._awaited())
        low = self.step.stages[visit.action.stage]
        body = self._body(emitter, visit, low)
        draft = Draft(str(visit.action), (self.rank,), "compute", body, after, waits)
        emitter.emit(self._key(self.place), draft)

    def _awaited(self) -> list[Hashable]:
        """Return the reductions that the next visit waits for."""
        end = len(self.unawaited) - (1 if self.rule.is_overlapped else 0)
        awaited = self.unawaited[: max(end, 0)]
        del self.unawaited[: len(awaited)]
        return awaited

    def _body(self, emitter: Emitter, visit: Visit, low: LoweredStage) -> Body:
        """Return what a visit does; equal layers share a body."""
        kind, part = visit.action.kind, visit.part
        if part is None:
            return low.bodies[kind]
        unit = part.unit
        layers = _layer_items(low, part, kind)
        opening = _opening(low, part, kind)
        if self.step.plan.stage_times is not None:
            layers, opening = (low.bodies[kind].items,), ()
        copied: tuple[Item, ...] = ()
        if visit.is_gathered and unit.stage == 3 and gathering(self.rule, unit):
            copied = (copying_out(self.rule, unit),)
        key = ("visit", kind, opening, copied, *map(id, layers))
        if key not in emitter.bodies:
            items = (*opening, *copied, *(Repeat(each, 1) for each in layers))
            phase = low.bodies[kind].phase
            emitter.bodies[key] = Body(f"{phase} of {unit.name}", phase, items)
        return emitter.bodies[key]

    def _reduce(self, emitter: Emitter, visit: Visit) -> None:
        """Emit the reduction of a visit's gradients, and their sum over copies."""
        if visit.part is None or not visit.is_reduced:
            return
        unit, after = visit.part.unit, (self._key(self.place),)
        first: Hashable = None
        for stream, messages in reductions(self.rule, unit):
            name = f"{messages[0].pattern} {unit.name}"
            body = emitter.body((stream, unit), name, "message", *messages)
            behind = (*after, *self.sent) if stream == "reduce" else after
            key = (stream, self.rank, self.place)
            emitter.emit(key, Draft(name, (self.rank,), stream, body, behind))
            after = (key,)
            if stream == "reduce":
                self.sent = after
            self.ends[stream] = key
            first = first or key
        is_awaited = self.rule.has_buffers(unit.stage) or not self.rule.is_overlapped
        if first and is_awaited:
            self.unawaited.append(first)


def emit_new_parameters(
    emitter: Emitter,
    plan: Plan,
    rule: Sharding,
    stages: tuple[LoweredStage, ...],
    rank: int,
) -> None:
    """Emit the gathering of what a rank's optimizer has updated, under ZeRO-1 and 2."""
    mine = stages_of(stages, rank)
    held = held_by_zero(mine)
    whole = added((1, held[zero]) for zero in (1, 2) if zero in held)
    if rule.gathers_in_forward or not whole:
        return
    parts = [part for own in parts_of(plan, rule, mine).values() for part in own]
    padding = sum(part.unit.padding for part in parts if part.unit.stage in {1, 2})
    unit = Unit(f"rank {rank}", *whole[1], padding=padding, stage=1)
    body = _gather_body(emitter, rule, unit)
    if not body.items:
        return
    draft = Draft(body.name, (rank,), "gather", body, (("optimizer", rank),))
    emitter.emit(("parameters", rank), draft)


def _gather_body(
    emitter: Emitter, rule: Sharding, unit: Unit, *, is_again: bool = False
) -> Body:
    again = gathering_again(rule, unit) if is_again else ()
    messages = (*gathering(rule, unit), *again)
    key = ("gather", unit, len(messages))
    return emitter.body(key, f"gather {unit.name}", "message", *messages)


def _layer_items(
    low: LoweredStage, part: Part, kind: Kind
) -> tuple[tuple[Item, ...], ...]:
    """Return the items of a part's layers, in the order of a pass."""
    layers = [passes for passes, count in low.passes for _ in range(count)]
    own = layers[part.first : part.last + 1]
    if kind == "F":
        return tuple(passes.forward for passes in own)
    own.reverse()
    if kind == "B":
        return tuple(passes.backward for passes in own)
    if kind == "I":
        return tuple(passes.backward_input for passes in own)
    return tuple(passes.backward_weight for passes in own)


def _opening(low: LoweredStage, part: Part, kind: Kind) -> tuple[Item, ...]:
    """Return what precedes the first part of a pass."""
    if kind == "F":
        return low.before_forward if part.first == 0 else ()
    is_first = part.last == len(low.stage.layers) - 1
    return low.before_backward if is_first and kind != "W" else ()
