"""Unfolding: every real rank simulated by itself, every collective a joint op.

Lowering emits one rank per pipeline stage, because tensor and data ranks of a stage
do the same at the same time. This pass writes them all out: inline messages become
ops that all ranks of their group start together. It must not change any answer; a
test compares. What breaks the symmetry (noise, stragglers, faults) needs it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from models.work import Work
from simulator.mesh import Degrees, Span, members
from simulator.workload import (
    Axis,
    Beside,
    Body,
    Leaf,
    Message,
    Op,
    Phase,
    Stream,
    Workload,
    flatten,
)


@dataclass(frozen=True, slots=True)
class _Branch:
    """Part of a body that is an op of its own.

    Fields:
        body: what it does.
        axis: whose ranks start it together; None if each runs it alone.
        stream: where it runs; None for the folded op's own.
    """

    body: Body
    axis: Axis | None
    stream: Stream | None = None


@dataclass(slots=True)
class _Piece:
    """An unfolded op whose dependencies are not yet resolved."""

    folded: int
    ranks: tuple[int, ...]
    branch: _Branch
    after: set[int]
    is_first: bool


def unfold(workload: Workload, degrees: Degrees) -> Workload:
    """Return the same step with all ranks that a role stands for written out."""
    mesh = _Mesh(degrees)
    roles = tuple(
        rank for role in workload.roles for rank in degrees.roles(role.pipeline)
    )
    steps = {body: _split(body) for body in {op.body for op in workload.ops}}
    pieces: list[_Piece] = []
    finals: list[dict[int, set[int]]] = []  # per folded op: rank -> its last pieces
    for folded, op in enumerate(workload.ops):
        latest: dict[int, set[int]] = defaultdict(set)
        for number, step in enumerate(steps[op.body]):
            now: dict[int, set[int]] = defaultdict(set)
            for branch in step:
                for ranks in mesh.groups(op.ranks, branch.axis):
                    after = {index for rank in ranks for index in latest[rank]}
                    for rank in ranks:
                        now[rank].add(len(pieces))
                    pieces.append(_Piece(folded, ranks, branch, after, number == 0))
            latest = now
        finals.append(latest)
    for piece in pieces:
        if piece.is_first:
            befores = (finals[other] for other in workload.ops[piece.folded].after)
            piece.after |= mesh.same_replicas(piece.ranks, befores)
    ops = (_op(workload.ops[piece.folded], piece) for piece in pieces)
    return Workload(roles, tuple(ops))


def _op(folded: Op, piece: _Piece) -> Op:
    """Return a piece of a folded op as an op."""
    return Op(
        folded.name,
        piece.ranks,
        piece.branch.stream or folded.stream,
        piece.branch.body,
        tuple(sorted(piece.after)),
        folded.host_waits and piece.is_first,
    )


@dataclass(frozen=True, slots=True)
class _Mesh:
    """Numbers unfolded ranks: role, then place in its plane."""

    degrees: Degrees

    @property
    def size(self) -> int:
        return int(self.degrees.plane)

    def same_replicas(
        self, ranks: tuple[int, ...], befores: Iterable[dict[int, set[int]]]
    ) -> set[int]:
        """Return the last pieces of other ops on the replicas of `ranks`."""
        replicas = {rank % self.size for rank in ranks}
        return {
            index
            for finals in befores
            for rank, indices in finals.items()
            if rank % self.size in replicas
            for index in indices
        }

    def groups(
        self, roles: tuple[int, ...], axis: Axis | None
    ) -> list[tuple[int, ...]]:
        """Return the rank sets that run an item together."""
        span = self.degrees.span(axis) if axis else Span(1, 1)
        return [
            tuple(role * self.size + place for role in roles for place in group)
            for group in members(span, self.size)
        ]


def _split(body: Body) -> list[tuple[_Branch, ...]]:
    """Return a body's steps: runs of kernels, single messages, or one beside others."""
    steps: list[tuple[_Branch, ...]] = []
    for phase, run in groupby(flatten(body.items, body.phase), key=itemgetter(1)):
        for kind, same in groupby(run, key=lambda one: _kind(one[0])):
            items = [item for item, _ in same]
            if kind is Work:
                steps.append((_Branch(Body(body.name, phase, tuple(items)), None),))
            else:
                steps += [_branches(item, body.name, phase) for item in items]
    return steps or [(_Branch(body, None),)]


def _kind(item: Leaf | Beside) -> type:
    return type(item) if isinstance(item, Message | Beside) else Work


def _branches(item: Leaf | Beside, name: str, phase: Phase) -> tuple[_Branch, ...]:
    """Return the branches of a step with a message in it, the message first."""
    if isinstance(item, Beside):
        works = _Branch(Body(name, phase, item.works), None)
        (sent,) = _branches(item.message, name, phase)
        return _Branch(sent.body, sent.axis, "tensor"), works
    assert isinstance(item, Message)
    return (_Branch(Body(item.name, phase, (item,)), item.axis),)
