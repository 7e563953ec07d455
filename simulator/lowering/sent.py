"""Messages as ops of their own, each at its place on the mesh.

On a network whose links are shared it matters who sends, and when. Messages between
kernels are taken out of their bodies, and every op with a message gets a body that no
op at another place shares, so that it can have its own price and its own links.
Ranks stay folded or unfolded as they were.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from typing import NamedTuple

from simulator.workload import (
    Axis,
    Beside,
    Body,
    Item,
    Message,
    Op,
    Phase,
    Repeat,
    Role,
    Stream,
    Workload,
)


class Sent(NamedTuple):
    """A message where it is sent.

    Fields:
        message: the only item of its body.
        roles: that start it.
    """

    message: Message
    roles: tuple[Role, ...]


class _Part(NamedTuple):
    """What becomes one op; the stream is None for that of the whole."""

    body: Body
    stream: Stream | None = None


_Step = tuple[_Part, ...]  # parts that begin together


def written_out(
    workload: Workload, inline: Container[Axis]
) -> tuple[Workload, Mapping[Body, Sent]]:
    """Return the workload with messages as ops, and where each of them is sent.

    Args:
        workload: to write out.
        inline: axes whose messages stay between kernels, as they share no link.
    """
    writer = _Writer(inline)
    steps = {body: writer.steps(body) for body in {op.body for op in workload.ops}}
    counts = [sum(map(len, steps[op.body])) for op in workload.ops]
    ends = list(accumulate(counts))
    lasts = [
        tuple(range(end - len(steps[op.body][-1]), end))
        for op, end in zip(workload.ops, ends, strict=True)
    ]
    ops: list[Op] = []
    sent: dict[Body, Sent] = {}
    for op in workload.ops:
        after = tuple(index for other in op.after for index in lasts[other])
        host_waits = op.host_waits
        for step in steps[op.body]:
            first = len(ops)
            for part in step:
                body = writer.placed(part.body, op.ranks)
                if body is not part.body:
                    roles = tuple(workload.roles[rank] for rank in op.ranks)
                    sent[body] = Sent(_message(body), roles)
                stream = part.stream or op.stream
                ops.append(Op(op.name, op.ranks, stream, body, after, host_waits))
            after, host_waits = tuple(range(first, len(ops))), False
    return Workload(workload.roles, tuple(ops)), sent


@dataclass(slots=True)
class _Writer:
    """Takes messages out of bodies; of what recurs it makes one body."""

    inline: Container[Axis]
    _runs: dict[tuple[object, ...], Body] = field(default_factory=dict)
    _places: dict[tuple[int, tuple[int, ...]], Body] = field(default_factory=dict)

    def steps(self, body: Body) -> list[_Step]:
        """Return a body's steps: runs of kernels, messages, or one beside others."""
        found: list[_Step] = []
        walk = self._walk(body.items, body.phase)
        for (is_sent, phase), run in groupby(walk, lambda one: (one[0], one[1])):
            items = tuple(item for _, _, item in run)
            if is_sent:
                found += (self._sent(item, body.name, phase) for item in items)
            else:
                found.append((_Part(self._run(body.name, phase, items)),))
        return found or [(_Part(body),)]

    def placed(self, body: Body, ranks: tuple[int, ...]) -> Body:
        """Return the body of a message at a place; others are their own."""
        if len(body.items) != 1 or not self._is_sent(body.items[0]):
            return body
        key = (id(body.items[0]), ranks)
        if key not in self._places:
            self._places[key] = Body(body.name, body.phase, body.items)
        return self._places[key]

    def _walk(
        self, items: tuple[Item, ...], phase: Phase
    ) -> Iterator[tuple[bool, Phase, Item]]:
        """Yield items with their phase; repetitions with messages are written out."""
        for item in items:
            if isinstance(item, Repeat) and self._has_sent(item):
                for _ in range(int(item.count)):
                    yield from self._walk(item.items, item.phase or phase)
            else:
                yield self._is_sent(item), phase, item

    def _has_sent(self, item: Repeat) -> bool:
        return any(
            self._has_sent(inner) if isinstance(inner, Repeat) else self._is_sent(inner)
            for inner in item.items
        )

    def _is_sent(self, item: Item) -> bool:
        """Return whether an item has a message that is to be an op of its own."""
        message = item.message if isinstance(item, Beside) else item
        return isinstance(message, Message) and message.axis not in self.inline

    def _sent(self, item: Item, name: str, phase: Phase) -> _Step:
        """Return the step of a message, or of one with kernels beside it."""
        if isinstance(item, Beside):
            works = _Part(self._run(name, phase, item.works))
            message = self._run(item.message.name, phase, (item.message,))
            return _Part(message, "tensor"), works
        assert isinstance(item, Message)
        return (_Part(self._run(item.name, phase, (item,))),)

    def _run(self, name: str, phase: Phase, items: tuple[Item, ...]) -> Body:
        """Return the body of some items; of equal layers, one is priced for all."""
        key = (name, phase, *map(id, items))
        if key not in self._runs:
            self._runs[key] = Body(name, phase, items)
        return self._runs[key]


def _message(body: Body) -> Message:
    (message,) = body.items
    assert isinstance(message, Message)
    return message
