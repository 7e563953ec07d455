"""Why the step takes as long as it does: the critical path, longest first.

The critical path is the chain of ops, each starting when the one before it ends, that
leads to the end of the step; its parts add up to the step time. Every part is traced
to the formula that priced it and to that formula's source.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from models.work import Work
from simulator.collectives.table import TABLE
from simulator.costs.collectives import collective_time
from simulator.costs.compute import (
    grouped_time,
    matrix_time,
    memory_time,
    roofline_time,
)
from simulator.costs.messages import exchange_time, transfer_time
from simulator.engines.graph import build_graph
from simulator.results.result import Result
from simulator.workload import (
    Beside,
    Body,
    HostTask,
    Item,
    Leaf,
    Measured,
    Message,
    Op,
    Phase,
    leaves,
)
from topologies.units import Ratio, Seconds, format_quantity


class _Basis(NamedTuple):
    """What a time rests on: a formula, and its source."""

    formula: str
    source: str


_HOST = _Basis("the device waits for its host", "simulator.pricing.price")
_SLOWED = _Basis("messages beside them take units and bandwidth", "simulator.engines")
_CROWDED = _Basis("more of them than cores that devices share", "simulator.engines")
_MEASURED = _Basis("as measured on the machine", "the plan")


@dataclass(frozen=True, slots=True)
class Contribution:
    """One kind of kernel or message on the critical path.

    Fields:
        name: such as `fc1 W`.
        time: summed over the path [s].
        share: of the step time [1].
        formula: as in the docstring of the function that priced it.
        source: of that formula.
    """

    name: str
    time: Seconds
    share: Ratio
    formula: str
    source: str


def critical_path(result: Result) -> list[Op]:
    """Return the ops of the critical path, in order of time."""
    workload = result.job.workload
    graph = build_graph(workload, result.job.prices)
    end = {id(span.op): span.end for span in result.timeline.spans}
    before: list[list[int]] = [[] for _ in workload.ops]
    for index, successors in enumerate(graph.successors):
        for other in successors:
            before[other].append(index)
    ops = workload.ops
    current = max(range(len(ops)), key=lambda index: end[id(ops[index])])
    path = [current]
    while before[current]:
        current = max(before[current], key=lambda index: end[id(ops[index])])
        path.append(current)
    return [ops[index] for index in reversed(path)]


def contributions(result: Result) -> list[Contribution]:
    """Return what the critical path is made of, longest first."""
    times: dict[tuple[str, _Basis], Seconds] = defaultdict(float)
    counts: dict[Body, int] = defaultdict(int)
    spans = {id(span.op): span for span in result.timeline.spans}
    waiting = slowed = crowded = 0.0
    located = result.job.located
    carried = located.traffic if located else {}
    for op in critical_path(result):
        span = spans[id(op)]
        if op.body in carried:
            (sent,) = op.body.items
            assert isinstance(sent, Message)
            times[sent.name, _shared_links()] += span.end - span.start
        else:
            price = result.job.prices[op.body]
            counts[op.body] += 1
            waiting += span.end - span.start - span.compute - span.communication
            slowed += span.communication - float(price.communication)
            crowded += span.compute - float(price.compute)
    for item, phase, count in _totals(counts):
        for leaf, time in _timed(result, item, phase):
            if time > 0:
                times[leaf.name, _basis(result, leaf)] += count * time
    times["host issues kernels", _HOST] += waiting
    times["kernels slowed by messages", _SLOWED] += slowed
    times["kernels in turn on shared cores", _CROWDED] += crowded
    return [
        Contribution(name, time, time / result.step_time_s, *basis)
        for (name, basis), time in sorted(times.items(), key=lambda entry: -entry[1])
        if time > 0
    ]


def explain(result: Result, *, num_shown: int = 12) -> str:
    """Return the largest contributions as text, with formula and source."""
    lines = ["critical path, longest first"]
    parts = contributions(result)
    marks, notes = footnotes(parts[:num_shown])
    for part, mark in zip(parts, marks, strict=False):
        time = format_quantity(part.time, "s")
        lines.append(f"  {time:>10}  {part.share:6.1%}  {part.name} {mark}")
    rest = sum(part.time for part in parts[num_shown:])
    if rest:
        share = rest / result.step_time_s
        time = format_quantity(rest, "s")
        lines.append(f"  {time:>10}  {share:6.1%}  {len(parts) - num_shown} others")
    lines += [f"  {note}" for note in notes]
    return "\n".join(lines) + "\n"


def footnotes(parts: list[Contribution]) -> tuple[list[str], list[str]]:
    """Return a mark such as `[1]` for each part, and the marked formulas, each once."""
    formulas = [f"{part.formula}  [{part.source}]" for part in parts]
    distinct = list(dict.fromkeys(formulas))
    marks = [f"[{distinct.index(formula) + 1}]" for formula in formulas]
    return marks, [f"[{number}] {text}" for number, text in enumerate(distinct, 1)]


def _totals(
    bodies: dict[Body, int],
) -> Iterator[tuple[Leaf | Beside, Phase, float]]:
    """Yield every distinct item of some bodies with how often it runs in all."""
    totals: dict[tuple[int, Phase], float] = defaultdict(float)
    items: dict[int, Leaf | Beside] = {}
    for body, count in bodies.items():
        for item, phase, repeats in leaves(body.items, body.phase, float(count)):
            items[id(item)] = item
            totals[id(item), phase] += repeats
    for (key, phase), total in totals.items():
        yield items[key], phase, total


def _timed(
    result: Result, item: Leaf | Beside, phase: Phase
) -> Iterator[tuple[Work | Message, Seconds]]:
    """Yield what takes device time; of a message beside kernels, what it adds."""
    if isinstance(item, Beside):
        works = [(work, _time(result, work, phase)) for work in item.works]
        yield from works
        yield item.message, _time(result, item, phase) - sum(t for _, t in works)
    elif not isinstance(item, HostTask | Measured):
        yield item, _time(result, item, phase)


def _time(result: Result, item: Item, phase: Phase) -> Seconds:
    return float(result.job.pricer.item(item, phase).busy)


def _shared_links() -> _Basis:
    """Return how long a message on shared links is said to take, and why."""
    from simulator.network import Traffic  # noqa: PLC0415 - NumPy

    return _documented(Traffic.isolated_time)


def _basis(result: Result, item: Work | Message) -> _Basis:
    """Return what the time of an item rests on."""
    if isinstance(item, Work):
        formulas = {
            "matrix": matrix_time,
            "grouped": grouped_time,
            "attention": matrix_time,
            "local": roofline_time,
        }
        return _documented(formulas.get(item.kind, memory_time))
    if item.time is not None:
        return _MEASURED
    if item.sends:
        return _documented(exchange_time)
    match item.pattern:
        case "send" | "neighbour-exchange":
            return _documented(transfer_time)
        case pattern:
            how = result.job.pricer.choice(item)
            sends = _documented(TABLE[pattern, how.algorithm].formula)
    time = _documented(collective_time).formula
    return _Basis(
        f"{how.algorithm}, protocol {how.protocol}: {time}, {sends.formula}",
        sends.source,
    )


@cache
def _documented(function: Callable[..., object]) -> _Basis:
    """Return the formula and the source in a cost function's docstring."""
    paragraphs = [part.strip() for part in (function.__doc__ or "").split("\n\n")]
    source = next(part for part in paragraphs if part.startswith("Source:"))
    return _Basis(
        " ".join(paragraphs[1].split()),
        " ".join(source.removeprefix("Source:").split()).rstrip("."),
    )
