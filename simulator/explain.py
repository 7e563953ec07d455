"""Why the step takes as long as it does: the critical path, longest first.

The critical path is the chain of ops, each starting when the one before it ends, that
leads to the end of the step; its parts add up to the step time. Every part is traced
to the formula that priced it and to that formula's source.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from models.work import Work
from simulator.costs.compute import matrix_time, memory_time
from simulator.costs.messages import (
    ring_all_reduce_time,
    ring_gather_time,
    transfer_time,
    tree_all_reduce_time,
)
from simulator.engines.graph import build_graph
from simulator.result import Result
from simulator.workload import (
    Beside,
    Body,
    HostTask,
    Item,
    Leaf,
    Message,
    Op,
    Phase,
    Repeat,
)
from topologies.units import Ratio, Seconds, format_quantity

_BACKWARD = {"backward"}


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
    times: dict[str, Seconds] = defaultdict(float)
    priced_by: dict[str, Callable[..., Seconds] | None] = {}
    counts: dict[Body, int] = defaultdict(int)
    duration = {id(span.op): span.end - span.start for span in result.timeline.spans}
    waiting = 0.0
    for op in critical_path(result):
        counts[op.body] += 1
        waiting += duration[id(op)] - float(result.job.prices[op.body].busy)
    for item, phase, count in _totals(counts):
        for leaf, time in _timed(result, item, phase):
            times[leaf.name] += count * time
            priced_by[leaf.name] = _formula(leaf)
    times["host issues kernels"] += waiting
    priced_by["host issues kernels"] = None
    return [
        Contribution(
            name, time, time / result.step_time_s, *_documented(priced_by[name])
        )
        for name, time in sorted(times.items(), key=lambda entry: -entry[1])
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
        for item, repeats in _leaves(body.items, float(count)):
            items[id(item)] = item
            totals[id(item), body.phase] += repeats
    for (key, phase), total in totals.items():
        yield items[key], phase, total


def _leaves(
    items: tuple[Item, ...], count: float
) -> Iterator[tuple[Leaf | Beside, float]]:
    for item in items:
        if isinstance(item, Repeat):
            yield from _leaves(item.items, count * item.count)
        else:
            yield item, count


def _timed(
    result: Result, item: Leaf | Beside, phase: Phase
) -> Iterator[tuple[Work | Message, Seconds]]:
    """Yield what takes device time; of a message beside kernels, what outlasts them."""
    if isinstance(item, Beside):
        works = [(work, _time(result, work, phase)) for work in item.works]
        yield from works
        rest = _time(result, item.message, phase) - sum(
            (time for _, time in works), 0.0
        )
        yield item.message, max(rest, 0.0)
    elif not isinstance(item, HostTask):
        yield item, _time(result, item, phase)


def _time(result: Result, item: Item, phase: Phase) -> Seconds:
    return float(result.job.pricer.item(item, phase).busy)


def _formula(item: Work | Message) -> Callable[..., Seconds]:
    """Return the function that prices an item."""
    if isinstance(item, Work):
        is_product = item.kind in {"matrix", "attention"}
        return matrix_time if is_product else memory_time
    if item.pattern == "send":
        return transfer_time
    if item.axis == "model":
        return tree_all_reduce_time
    return ring_all_reduce_time if item.pattern == "all-reduce" else ring_gather_time


def _documented(function: Callable[..., Seconds] | None) -> tuple[str, str]:
    """Return the formula and the source in a cost function's docstring."""
    if function is None:
        return "the device waits for its host", "simulator.price"
    paragraphs = [part.strip() for part in (function.__doc__ or "").split("\n\n")]
    source = next(part for part in paragraphs if part.startswith("Source:"))
    return (
        " ".join(paragraphs[1].split()),
        " ".join(source.removeprefix("Source:").split()).rstrip("."),
    )
