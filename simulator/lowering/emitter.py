"""Collecting ops whose dependencies are still names."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from simulator.workload import Body, Item, Op, Phase, Stream


class Draft(NamedTuple):
    """An op whose dependencies are keys; the fields are those of `Op`."""

    name: str
    ranks: tuple[int, ...]
    stream: Stream
    body: Body
    after: tuple[Hashable, ...] = ()
    host_waits: bool = False


@dataclass(slots=True)
class Emitter:
    """Drafts in program order, by key; bodies by key, each made once."""

    drafts: list[Draft] = field(default_factory=list)
    index: dict[Hashable, int] = field(default_factory=dict)
    bodies: dict[Hashable, Body] = field(default_factory=dict)

    def emit(self, key: Hashable, draft: Draft) -> None:
        """Append a draft, which others may name by `key`."""
        self.index[key] = len(self.drafts)
        self.drafts.append(draft)

    def body(self, key: Hashable, name: str, phase: Phase, *items: Item) -> Body:
        """Return the one body of `key`, made at its first use."""
        if key not in self.bodies:
            self.bodies[key] = Body(name, phase, items)
        return self.bodies[key]

    def resolve(self) -> tuple[Op, ...]:
        """Return the ops, with every key replaced by the op that it names."""
        index = self.index
        return tuple(
            Op(name, ranks, stream, body, tuple([index[k] for k in after]), waits)
            for name, ranks, stream, body, after, waits in self.drafts
        )
