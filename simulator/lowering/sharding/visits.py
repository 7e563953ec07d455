"""When a rank's units are gathered, dropped and reduced, along its schedule.

A rank visits the parts of each pass in order. Before a visit that needs parameters
which are not there, its unit is gathered. A unit is dropped after its forward, but for
one whose backward follows at once, and after its backward; torch's pipelines do it
after every forward and no backward. A pass in which nothing is gathered or reduced is
one visit.

Source: of torch's pipelines, `PipelineStage.backward_maybe_with_nosync` of torch 2.13
(`set_reshard_after_backward(False)`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate, groupby, pairwise
from operator import attrgetter
from typing import NamedTuple

from simulator.lowering.pipeline import last_gradients
from simulator.lowering.schedules.actions import Action, Kind, Row
from simulator.lowering.sharding.rule import Sharding
from simulator.lowering.sharding.units import Part, Unit
from topologies.units import Bytes, Count

_NEEDING: dict[int, tuple[Kind, ...]] = {
    0: (),
    1: ("F",),
    2: ("F",),
    3: ("F", "B", "I"),
}


class Visit(NamedTuple):
    """One part of a pass, or a whole pass.

    Fields:
        action: the pass.
        part: of its stage; None for all of it.
        is_gathered: whether the part's unit is gathered for it.
        is_reduced: whether the unit's gradients are reduced after it.
        held: parameters of the gathered units that are there during it [1].
    """

    action: Action
    part: Part | None
    is_gathered: bool
    is_reduced: bool
    held: Count


def visits_of(
    rule: Sharding, row: Row, parts: Mapping[int, tuple[Part, ...]]
) -> tuple[Visit, ...]:
    """Return the visits of a rank, in order.

    Args:
        rule: how states are divided.
        row: the rank's schedule.
        parts: of its stages, in forward order.
    """
    walk = _Walk(rule, frozenset(last_gradients(row).values()))
    order = [
        (action, part)
        for action in row
        for part in _ordered(parts[action.stage], action.kind)
    ]
    following = [*order[1:], None]
    found = [walk.visit(*one, then) for one, then in zip(order, following, strict=True)]
    joined: list[Visit] = []
    for action, of_pass in groupby(found, key=attrgetter("action")):
        visits = list(of_pass)
        if any(visit.is_gathered or visit.is_reduced for visit in visits):
            joined += visits
        else:
            held = max(visit.held for visit in visits)
            whole = Visit(action, None, is_gathered=False, is_reduced=False, held=held)
            joined.append(whole)
    return tuple(joined)


def _ordered(parts: tuple[Part, ...], kind: Kind) -> tuple[Part, ...]:
    return parts if kind == "F" else tuple(reversed(parts))


@dataclass(slots=True)
class _Walk:
    """What is gathered, and which micro-batches are under way, at a moment.

    Fields:
        rule: how states are divided.
        last: the last pass that makes gradients, of every stage.
        there: units that are gathered.
        under_way: (stage, micro-batch) between forward and backward.
    """

    rule: Sharding
    last: frozenset[Action]
    there: set[Unit] = field(default_factory=set)
    under_way: set[tuple[int, int]] = field(default_factory=set)

    def visit(
        self, action: Action, part: Part, then: tuple[Action, Part] | None
    ) -> Visit:
        """Return the next visit; `then` is what follows it."""
        unit = part.unit
        place = (action.stage, action.microbatch)
        if action.kind == "F":
            self.under_way.add(place)
        else:
            self.under_way.discard(place)
        needs = self._gathers(unit) and action.kind in _NEEDING[unit.stage]
        is_gathered = bool(needs and unit.parameters and unit not in self.there)
        if is_gathered:
            self.there.add(unit)
        held = sum(each.parameters for each in self.there)
        if self._is_dropped(action, part, then):
            self.there.discard(unit)
        is_reduced = bool(
            self._reduces(action, unit) and part.is_owner and unit.parameters
        )
        return Visit(action, part, is_gathered, is_reduced, held)

    def _gathers(self, unit: Unit) -> bool:
        return unit.stage == 3 or self.rule.gathers_in_forward

    def _reduces(self, action: Action, unit: Unit) -> bool:
        """Return whether a unit's gradients are reduced in a pass."""
        makes = action.kind in {"B", "W"}
        is_last = action in self.last
        return makes and (is_last or not self.rule.keeps_whole_gradients(unit.stage))

    def _is_dropped(
        self, action: Action, part: Part, then: tuple[Action, Part] | None
    ) -> bool:
        """Return whether a unit is dropped after a visit."""
        if part.unit.stage < 3 or not part.is_owner or action.kind == "W":
            return False
        is_idle = all(stage != action.stage for stage, _ in self.under_way)
        if action.kind == "F":
            is_next = then is not None and then[1] is part and then[0].kind != "F"
            is_kept = part.unit.is_root or (is_next and not self.rule.stays_behind)
            return part.unit.is_resharded and not is_kept
        if self.rule.stays_behind:
            return False
        if part.unit.is_root:
            return is_idle
        return part.unit.is_resharded or (is_idle and not self.rule.is_lasting)


class Order:
    """The visits of units that are divided as the plan says, in order.

    Others gather nothing, and are passed over when gathering goes ahead: torch
    prefetches the next of the modules that it divides.

    Fields:
        places: of those visits.
        before: how many of them come before each visit [1].
    """

    def __init__(self, rule: Sharding, visits: tuple[Visit, ...]) -> None:
        counts = [v.part is None or v.part.unit.stage == rule.stage for v in visits]
        self.places = [place for place, is_one in enumerate(counts) if is_one]
        self.before = [0, *accumulate(counts)][:-1]

    def ahead(self, place: int, number: int) -> list[int]:
        """Return the next such visits behind a place."""
        first = bisect_right(self.places, place)
        return self.places[first : first + number]

    def behind(self, place: int, number: int) -> int | None:
        """Return the visit so many before a place; None before the first."""
        found = self.before[place] - number
        return self.places[found] if found >= 0 else None


def held_bytes(rule: Sharding, visits: tuple[Visit, ...]) -> tuple[Bytes, ...]:
    """Return what gathered parameters and gradients on their way take, by visit [B].

    During a visit of ZeRO-3 there are the units that are gathered, those gathered ahead
    of it, and, if it makes gradients that are reduced, these as computed and one
    message of them: its own, or that of the visit before. Where whole gradients were
    kept, the part that is left of them comes beside the whole. Of ZeRO-2 there are two
    buckets; of ZeRO-1, of layers that are not divided, and of ZeRO-2 that keeps whole
    gradients nothing: those are summed where they are.
    """
    if rule.stage < 3:
        buckets = [0.0, *(each for each in _scattered(rule, visits) if each)]
        most = max((one + then for one, then in pairwise(buckets)), default=0.0)
        return (rule.gradient * most,) * len(visits)
    order = Order(rule, visits)
    found: list[Bytes] = []
    before = 0.0
    for place, reduced in enumerate(_scattered(rule, visits)):
        visit = visits[place]
        ahead = (visits[each] for each in order.ahead(place, rule.prefetch))
        held = rule.element * (visit.held + sum(_gathered(each) for each in ahead))
        held += rule.gradient * max(reduced, before)
        if visit.part and visit.part.unit.stage == rule.stage:
            held += rule.element * reduced
            if rule.keeps_whole_gradients(rule.stage):
                held += rule.gradient * reduced / rule.shards
        found.append(held)
        before = reduced
    return tuple(found)


def _gathered(visit: Visit) -> Count:
    return visit.part.unit.parameters if visit.part and visit.is_gathered else 0.0


def _scattered(rule: Sharding, visits: tuple[Visit, ...]) -> list[Count]:
    """Return the gradients of each visit that are copied to be sent [1]."""
    return [
        visit.part.unit.parameters
        if visit.part and visit.is_reduced and rule.has_buffers(visit.part.unit.stage)
        else 0.0
        for visit in visits
    ]
