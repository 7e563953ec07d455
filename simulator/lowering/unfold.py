"""Unfolding: every real rank simulated by itself, every collective a joint op.

Lowering emits one rank per pipeline stage, because tensor and data ranks of a stage
do the same at the same time. This pass writes them all out: inline messages become
ops that all ranks of their group start together. It must not change any answer; a
test compares. What breaks the symmetry (noise, stragglers, faults) needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from simulator.workload import Axis, Body, Item, Message, Op, Role, Workload, flatten


@dataclass(slots=True)
class _Piece:
    """An unfolded op whose dependencies are not yet resolved."""

    folded: int
    ranks: tuple[int, ...]
    body: Body
    after: set[int]
    is_first: bool


def unfold(workload: Workload, *, tensor: int, data: int) -> Workload:
    """Return the same step with all tensor x data ranks of each role written out."""
    mesh = _Mesh(tensor, data)
    roles = tuple(
        Role(d, role.pipeline, t, 1)
        for role in workload.roles
        for d in range(data)
        for t in range(tensor)
    )
    bodies = {body: _split(body) for body in {op.body for op in workload.ops}}
    pieces: list[_Piece] = []
    finals: list[dict[int, int]] = []  # per folded op: rank -> its last piece
    for folded, op in enumerate(workload.ops):
        latest: dict[int, int] = {}
        for number, (body, axis) in enumerate(bodies[op.body]):
            for ranks in mesh.groups(op.ranks, axis):
                after = {latest[rank] for rank in ranks if rank in latest}
                for rank in ranks:
                    latest[rank] = len(pieces)
                pieces.append(_Piece(folded, ranks, body, after, number == 0))
        finals.append(latest)
    for piece in pieces:
        if piece.is_first:
            for other in workload.ops[piece.folded].after:
                replicas = {rank % mesh.size for rank in piece.ranks}
                piece.after |= {
                    index
                    for rank, index in finals[other].items()
                    if rank % mesh.size in replicas
                }
    ops = (
        Op(
            workload.ops[piece.folded].name,
            piece.ranks,
            workload.ops[piece.folded].stream,
            piece.body,
            tuple(sorted(piece.after)),
            workload.ops[piece.folded].host_waits and piece.is_first,
        )
        for piece in pieces
    )
    return Workload(roles, tuple(ops))


@dataclass(frozen=True, slots=True)
class _Mesh:
    """Numbers unfolded ranks: role, then data, then tensor."""

    tensor: int
    data: int

    @property
    def size(self) -> int:
        return self.tensor * self.data

    def groups(
        self, roles: tuple[int, ...], axis: Axis | None
    ) -> list[tuple[int, ...]]:
        """Return the rank sets that run an item together."""
        every_tensor, every_data = range(self.tensor), range(self.data)
        replicas: list[list[int]]
        if axis in {"tensor", "model"}:
            replicas = [[d * self.tensor + t for t in every_tensor] for d in every_data]
        elif axis == "data":
            replicas = [[d * self.tensor + t for d in every_data] for t in every_tensor]
        else:
            replicas = [[replica] for replica in range(self.size)]
        return [
            tuple(role * self.size + replica for role in roles for replica in group)
            for group in replicas
        ]


def _split(body: Body) -> list[tuple[Body, Axis | None]]:
    """Return runs of kernels and single messages, with the axis each message joins."""
    pieces: list[tuple[Body, Axis | None]] = []
    for phase, run in groupby(flatten(body.items, body.phase), key=itemgetter(1)):
        for is_message, same in groupby(run, key=lambda one: _is_message(one[0])):
            items: list[Item] = [item for item, _ in same]
            if not is_message:
                pieces.append((Body(body.name, phase, tuple(items)), None))
                continue
            pieces += [
                (Body(item.name, phase, (item,)), _joined_axis(item))
                for item in items
                if isinstance(item, Message)
            ]
    return pieces or [(body, None)]


def _is_message(item: Item) -> bool:
    return isinstance(item, Message)


def _joined_axis(message: Message) -> Axis | None:
    """Return the axis whose ranks start `message` together; None for transfers."""
    return message.axis if message.axis in {"tensor", "data", "model"} else None
