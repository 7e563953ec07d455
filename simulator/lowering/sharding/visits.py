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

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from operator import attrgetter
from typing import NamedTuple

from simulator.lowering.pipeline import last_gradients
from simulator.lowering.schedules.actions import Action, Kind, Row
from simulator.lowering.sharding.rule import Sharding
from simulator.lowering.sharding.units import Part, Unit
from topologies.units import Bytes, Count

_NEEDING: dict[int, tuple[Kind, ...]] = {1: ("F",), 2: ("F",), 3: ("F", "B", "I")}


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
        needs = self._gathers and action.kind in _NEEDING[self.rule.stage]
        is_gathered = bool(needs and unit.parameters and unit not in self.there)
        if is_gathered:
            self.there.add(unit)
        held = sum(each.parameters for each in self.there)
        if self._is_dropped(action, part, then):
            self.there.discard(unit)
        is_reduced = bool(self._reduces(action) and part.is_owner and unit.parameters)
        return Visit(action, part, is_gathered, is_reduced, held)

    @property
    def _gathers(self) -> bool:
        return self.rule.stage == 3 or self.rule.gathers_in_forward

    def _reduces(self, action: Action) -> bool:
        """Return whether gradients are reduced in a pass."""
        makes = action.kind in {"B", "W"}
        return makes and (self.rule.is_reduced_each or action in self.last)

    def _is_dropped(
        self, action: Action, part: Part, then: tuple[Action, Part] | None
    ) -> bool:
        """Return whether a unit is dropped after a visit."""
        if self.rule.stage < 3 or not part.is_owner or action.kind == "W":
            return False
        is_idle = all(stage != action.stage for stage, _ in self.under_way)
        if action.kind == "F":
            is_next = then is not None and then[1] is part and then[0].kind != "F"
            is_kept = part.unit.is_root or (is_next and not self.rule.stays_behind)
            return self.rule.is_resharded and not is_kept
        if self.rule.stays_behind:
            return False
        if part.unit.is_root:
            return is_idle
        return self.rule.is_resharded or (is_idle and not self.rule.is_lasting)


def held_bytes(rule: Sharding, visits: tuple[Visit, ...]) -> tuple[Bytes, ...]:
    """Return what gathered parameters and gradients on their way take, by visit [B].

    During a visit of ZeRO-3 there are the units that are gathered, those gathered ahead
    of it, and, if it makes gradients that are reduced, these as computed and one
    message of them: its own, or that of the visit before. Of ZeRO-2 there are two
    buckets, of ZeRO-1 nothing: whole parameters and gradients are kept anyway.
    """
    if rule.stage < 3:
        if rule.keeps_whole_gradients:
            return (0.0,) * len(visits)
        buckets = [0.0, *(each for each in map(_reduced, visits) if each)]
        most = rule.gradient * max(one + then for one, then in pairwise(buckets))
        return (most,) * len(visits)
    found: list[Bytes] = []
    before = 0.0
    for place, visit in enumerate(visits):
        ahead = visits[place + 1 : place + 1 + rule.prefetch]
        held = rule.element * (visit.held + sum(_gathered(each) for each in ahead))
        reduced = _reduced(visit)
        held += rule.element * reduced + rule.gradient * max(reduced, before)
        found.append(held)
        before = reduced
    return tuple(found)


def _gathered(visit: Visit) -> Count:
    return visit.part.unit.parameters if visit.part and visit.is_gathered else 0.0


def _reduced(visit: Visit) -> Count:
    return visit.part.unit.parameters if visit.part and visit.is_reduced else 0.0
