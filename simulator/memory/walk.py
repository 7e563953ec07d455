"""A rank's schedule, layer by layer: what is there beside states at each moment.

A forward keeps what its layers' backward needs, a backward frees it from the last layer
on; while a layer's backward runs, what it computes again and its gradients are there.
Of a backward in two parts, the first keeps what the second needs: inputs of weighted
operators and the gradients of their outputs.

A pass does the same to memory whatever its micro-batch, so it is followed once. Of two
that run as one, the forward is followed first: all that it keeps is there before the
backward frees anything, which is the most that their turns can come to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from models.model import Layer
from simulator.lowering.schedules.actions import Action, Kind
from simulator.memory.needs import Needs
from topologies.units import Bytes


class Moment(NamedTuple):
    """What is there beside states, and when [B].

    Fields:
        activations: kept, or computed again.
        working: what only the pass needs.
        workspace: of its convolutions.
        buffers: of messages.
        action: the pass; None at the optimizer's step.
        layer: whose part of it; empty for all of it.
    """

    activations: Bytes = 0.0
    working: Bytes = 0.0
    workspace: Bytes = 0.0
    buffers: Bytes = 0.0
    action: Action | None = None
    layer: str = ""

    @property
    def total(self) -> Bytes:
        """The sum of the four [B]."""
        return self.activations + self.working + self.workspace + self.buffers


class Need(NamedTuple):
    """A layer, and what it takes."""

    layer: Layer
    needs: Needs


class Stretch(NamedTuple):
    """A pass, or consecutive layers of one.

    Fields:
        action: the pass.
        layers: with what they take, in forward order; one object for all that are
            equal.
        buffers: of messages meanwhile [B].
        has_fresh: whether gradients of weights are not among those.
        behind: what layers behind these keep for as long as the pass takes [B].
    """

    action: Action
    layers: tuple[Need, ...]
    buffers: Bytes
    has_fresh: bool = True
    behind: Bytes = 0.0


class _Effect(NamedTuple):
    """What a stretch changes for good, and its fullest moment over what was before."""

    change: Bytes
    most: Moment


def fullest(
    stretches: Iterable[Stretch], workspaces: Mapping[tuple[Layer, Kind], Bytes]
) -> Moment:
    """Return the fullest moment of a rank's passes, the first of equals.

    Args:
        stretches: of its schedule, in order.
        workspaces: of a layer's convolutions in a kind of pass; left out, none [B].
    """
    known: dict[tuple[int, Kind, bool], _Effect] = {}
    now = 0.0
    peak = Moment()
    for stretch in stretches:
        action, layers, buffers, has_fresh, behind = stretch
        key = (id(layers), action.kind, has_fresh)
        if key not in known:
            known[key] = _effect(stretch, workspaces)
        change, most = known[key]
        if now + most.total + buffers > peak.total:
            activations = now + most.activations
            peak = most._replace(
                activations=activations, buffers=buffers, action=action
            )
        now += change
        if behind and now + behind + buffers > peak.total:
            peak = Moment(now + behind, buffers=buffers, action=action)
    return peak


def _effect(
    stretch: Stretch, workspaces: Mapping[tuple[Layer, Kind], Bytes]
) -> _Effect:
    """Return what a pass through some layers does to memory."""
    kind = stretch.action.kind
    now = 0.0
    most: Moment | None = None
    for (layer, need), count in _runs(stretch.layers, kind):
        change = _change(need, kind)
        before = now + max((count - 1) * change, 0.0)
        now += count * change
        workspace = workspaces.get((layer, kind), 0.0)
        during = Moment(
            before + (0.0 if kind in {"F", "W"} else need.again),
            _working(need, kind, has_fresh=stretch.has_fresh),
            workspace,
            layer=layer.name,
        )
        after = Moment(now, workspace=workspace if kind == "F" else 0, layer=layer.name)
        for moment in (during, after):
            if most is None or moment.total > most.total:
                most = moment
    return _Effect(now, most or Moment())


def _runs(layers: tuple[Need, ...], kind: Kind) -> Iterator[tuple[Need, int]]:
    """Yield each run of equal layers, in the order of a pass, and its length."""
    ordered = layers if kind == "F" else tuple(reversed(layers))
    for _, run in groupby(ordered, key=attrgetter("layer")):
        own = list(run)
        yield own[0], len(own)


def _change(need: Needs, kind: Kind) -> Bytes:
    """Return by how much a layer's pass changes what is kept [B]."""
    changes: dict[Kind, Bytes] = {
        "F": need.kept,
        "B": -need.kept,
        "I": need.left - need.kept,
        "W": -need.left,
    }
    return changes[kind]


def _working(need: Needs, kind: Kind, *, has_fresh: bool) -> Bytes:
    """Return what only a layer's pass needs [B]."""
    if kind == "F":
        return 0.0
    if kind == "W":
        return need.fresh if has_fresh else 0.0
    return need.both if kind == "B" and has_fresh else need.gradients
