"""What a scaling curve says, in two sentences that a person can act on."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.reporting.columns import rate
from simulator.scaling.points import Measures, Point, are_alike, counted, described
from simulator.scaling.stopping import PAYING_GAIN, Step, sizes, step_between, steps
from topologies.units import format_quantity

PART_NAMES = {
    "compute_s": "compute",
    "exposed_communication_s": "exposed communication",
    "bubble_s": "the pipeline bubble",
    "synchronization_s": "waiting for other ranks",
    "host_s": "waiting for the host",
    "other_s": "other",
}


def answer(points: Sequence[Point], *, is_interrupted: bool = False) -> str:
    """Return where scaling stops paying and why, or which point is best."""
    best = sizes(points)
    missing = "Of the points that were finished: " if is_interrupted else ""
    if not best:
        return f"{missing}No point can run; the table says why."
    if not are_alike(points):
        return missing + _unlike(points)
    if len(best) == 1:
        return missing + _best(points)
    each = steps(points)
    stop = next((step for step in each if not step.pays), None)
    return missing + (_pays(best) if stop is None else _stops(stop, each))


def _stops(stop: Step, each: list[Step]) -> str:
    first = (
        f"It stops paying at {_place(stop.before)}: from there to "
        f"{stop.after.devices:,} devices the throughput grows x {stop.gain:.2f}, "
        f"x {stop.gain_per_doubling:.2f} per doubling, less than x {PAYING_GAIN}."
    )
    lines = [first, f"Why: {_reason(stop)}."]
    later = [step for step in each[each.index(stop) + 1 :] if step.pays]
    if later:
        lines.append(f"It pays again from {_place(later[0].before)}.")
    return "\n".join(lines)


def _pays(best: list[tuple[Point, Measures]]) -> str:
    last, whole = step_between(best[-2], best[-1]), step_between(best[0], best[-1])
    first = (
        f"It pays up to the largest point, {_place(last.after)}: the last step still "
        f"brings x {last.gain_per_doubling:.2f} per doubling; x {PAYING_GAIN} is asked."
    )
    if whole.share <= 0:
        return first
    start = counted(best[0][1].devices)
    return f"{first}\nMost is lost, since {start}, on {_reason(whole)}."


def _reason(step: Step) -> str:
    before = format_quantity(step.cost_before, "s")
    after = format_quantity(step.cost_after, "s")
    whole = f"{step.share:.0%} of" if step.share <= 1 else "more than"
    return (
        f"{PART_NAMES[step.part]}, which goes from {before} to {after} of device time "
        f"per sample, {whole} what is lost"
    )


def _best(points: Sequence[Point]) -> str:
    """Return the fastest of points with equally many devices, and the next."""
    ranked = ranking(points)
    first, found = ranked[0]
    time = format_quantity(found.step_time_s, "s")
    text = (
        f"Fastest of those that can run: {described(first.settings)}, {time} a step, "
        f"{rate(found.samples_per_s)} samples/s on {counted(found.devices)}"
    )
    if len(ranked) > 1:
        second, other = ranked[1]
        ahead = found.samples_per_s / other.samples_per_s - 1
        text += f"; {ahead:.1%} ahead of {described(second.settings)}"
    return f"{text}."


def _unlike(points: Sequence[Point]) -> str:
    """Return which of unlike models uses the devices best."""
    first, found = max(
        ((point, each) for point, each in ranking(points)), key=lambda one: one[1].mfu
    )
    return (
        "Samples of these models cost different FLOP, so that samples/s do not compare."
        f" The devices are used best at {described(first.settings)}: {found.mfu:.1%}"
        f" MFU on {counted(found.devices)}."
    )


def ranking(points: Sequence[Point]) -> list[tuple[Point, Measures]]:
    """Return the points that can run, the most model FLOP per second first."""
    found = [(p, p.measures) for p in points if p.measures and p.is_feasible]
    return sorted(found, key=lambda pair: -pair[1].flop_per_s)


def _place(point: Point) -> str:
    return f"{counted(point.devices or 0)} ({described(point.settings)})"
