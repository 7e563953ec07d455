"""Which algorithm and protocol does each collective of a step run?"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, NamedTuple

from simulator.workload import (
    Axis,
    Beside,
    Body,
    Item,
    Message,
    Pattern,
    Repeat,
    Workload,
)
from topologies.units import Bytes, format_quantity

if TYPE_CHECKING:
    from simulator.job import Job

_MOST_LINES = 6
_WITHOUT_CHOICE = {"send", "neighbour-exchange"}


class Collective(NamedTuple):
    """One kind of message, and how it is run.

    Fields:
        op: what it does.
        axis: of the mesh, whose group takes part.
        bytes: in NCCL's convention [B].
        ranks: that take part [1].
        algorithm: name in the table of collectives.
        protocol: of the links.
    """

    op: Pattern
    axis: Axis
    bytes: Bytes
    ranks: int
    algorithm: str
    protocol: str

    @property
    def described(self) -> str:
        """Such as `all-reduce of 25 MB over 16 ranks (data)`."""
        return self._with(format_quantity(self.bytes, "B"))

    def line(self, sizes: list[Bytes]) -> str:
        """Return how messages of this kind, of several sizes, are run."""
        ends = [format_quantity(size, "B") for size in (min(sizes), max(sizes))]
        size = " to ".join(dict.fromkeys(ends))
        return f"{self._with(size)}: {self.algorithm}, protocol {self.protocol}"

    def _with(self, size: str) -> str:
        return f"{self.op} of {size} over {self.ranks} ranks ({self.axis})"


def collectives(job: Job) -> list[Collective]:
    """Return every kind of collective that a step runs, each once."""
    located = job.located
    found = {} if located is None else dict.fromkeys(located.carrier.chosen)
    on_links: Container[Body] = {} if located is None else located.traffic
    for message in _messages(job.workload, on_links):
        is_transfer = message.pattern in {"send", "neighbour-exchange"}
        if is_transfer or message.time is not None:
            continue
        ranks = int(job.pricer.group(message).num_ranks)
        if ranks > 1:
            how = job.pricer.choice(message)
            found[
                Collective(
                    message.pattern,
                    message.axis,
                    float(message.size),
                    ranks,
                    how.algorithm,
                    how.protocol,
                )
            ] = None
    return list(found)


def collectives_text(job: Job) -> str:
    """Return what a report says of them: sizes that are run alike in one line.

    Nothing, if there was no choice.
    """
    offers = len(job.profile.algorithms)
    is_chosen = job.plan.synchronization.algorithm == "auto" or offers > 1
    if not is_chosen and job.located is None:
        return ""
    alike: dict[Collective, list[Bytes]] = {}
    for each in collectives(job):
        alike.setdefault(each._replace(bytes=0.0), []).append(each.bytes)
    if not alike:
        return ""
    lines = [f"    {kind.line(sizes)}" for kind, sizes in alike.items()]
    more = len(lines) - _MOST_LINES
    rest = [f"    and {more} more kinds"] if more > 0 else []
    return "\n".join(["  collectives", *lines[:_MOST_LINES], *rest])


def _messages(workload: Workload, apart: Container[Body]) -> Iterator[Message]:
    """Yield the messages of a workload, each once, but for those on shared links."""
    seen: set[Message] = set()
    done: set[int] = set()
    for body in {op.body: None for op in workload.ops}:
        if body in apart:
            continue
        for message in _in_items(body.items, done):
            if message not in seen:
                seen.add(message)
                yield message


def _in_items(items: tuple[Item, ...], done: set[int]) -> Iterator[Message]:
    """Yield the messages among items; of items that recur, only the first time."""
    if id(items) in done:
        return
    done.add(id(items))
    for item in items:
        if isinstance(item, Repeat):
            yield from _in_items(item.items, done)
        elif isinstance(item, Beside):
            yield item.message
        elif isinstance(item, Message):
            yield item
