"""What a report says of the messages of a step: a line for each kind."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.reporting.columns import aligned
from simulator.results.messages import Kind, Messages
from simulator.results.result import Result
from topologies.units import Bytes, Count, format_quantity

_MOST_LINES = 8


def messages_text(result: Result) -> str:
    """Return a table of messages, those first that the step waits for longest.

    Sizes that are run alike share a line. Algorithms are shown where there is a choice.
    """
    rows, slowed = result.messages
    alike: dict[Kind, list[Messages]] = {}
    for row in rows:
        alike.setdefault(row.kind._replace(bytes=0.0), []).append(row)
    if not alike:
        return ""
    kinds = sorted(alike.items(), key=lambda one: [-_exposed(one[1]), -_alone(one[1])])
    has_choice = _has_choice(result)
    shown = kinds[:_MOST_LINES]
    cells: list[tuple[str, ...]] = [("", "", "count", "each", "alone", "exposed")]
    cells += [_cells(kind, alike) for kind, alike in shown]
    if slowed:
        time = format_quantity(slowed, "s")
        cells.append(("kernels beside them", "", "", "", "", time))
    ways = ["", *(_way(kind) if has_choice else "" for kind, _ in shown), ""]
    lines = [
        f"    {line}  {way}".rstrip()
        for line, way in zip(aligned(cells, num_left=2), ways, strict=False)
    ]
    rest = kinds[_MOST_LINES:]
    if rest:
        exposed = format_quantity(sum(_exposed(alike) for _, alike in rest), "s")
        lines.append(f"    and {len(rest)} more kinds, {exposed} exposed")
    title = "  messages (count of a device that takes part, mean times over devices)"
    return "\n".join([title, *lines])


def _cells(kind: Kind, alike: Sequence[Messages]) -> tuple[str, ...]:
    axis = kind.axis if kind.op == "send" else f"{kind.axis} {kind.ranks}"
    return (
        kind.name,
        axis,
        _number(sum(row.count for row in alike)),
        _sizes([row.kind.bytes for row in alike]),
        format_quantity(_alone(alike), "s"),
        format_quantity(_exposed(alike), "s"),
    )


def _alone(alike: Sequence[Messages]) -> float:
    return sum(row.alone_s for row in alike)


def _exposed(alike: Sequence[Messages]) -> float:
    return sum(row.exposed_s for row in alike)


def _way(kind: Kind) -> str:
    return f"{kind.algorithm}, {kind.protocol}" if kind.algorithm else ""


def _has_choice(result: Result) -> bool:
    """Return whether the platform, or the plan, offers more than one algorithm."""
    job = result.job
    is_open = job.plan.synchronization.algorithm == "auto"
    return is_open or len(job.profile.algorithms) > 1 or job.located is not None


def _number(count: Count) -> str:
    """Return how many messages there are, whole wherever they are the same for all.

    >>> _number(1152.0), _number(2.5)
    ('1,152', '2.5')
    """
    return f"{count:,.0f}" if count >= 1000 else f"{count:.4g}"


def _sizes(sizes: Sequence[Bytes]) -> str:
    """Return the smallest and the largest size, the unit once if it is the same.

    >>> _sizes([5.44e9, 5.65e9]), _sizes([16384, 1e8]), _sizes([4.0])
    ('5.44-5.65 GB', '16.4 kB-100 MB', '4.00 B')
    """
    low, high = (format_quantity(size, "B") for size in (min(sizes), max(sizes)))
    if low == high:
        return low
    number, unit = low.split()
    return f"{number}-{high}" if high.endswith(f" {unit}") else f"{low}-{high}"
