"""The picture of a scaling curve.

Where the number of devices varies: time and efficiency against devices, with the ideal
line and the point where it stops paying. Where it does not: one bar a point, made of
the parts of the step.
"""

from __future__ import annotations

from collections.abc import Callable
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from simulator.plot.style import ALARM, FAINT, INK, PARTS, unit_of
from simulator.scaling.answer import PART_NAMES
from simulator.scaling.points import Measures, Point, described
from simulator.scaling.stopping import PARTS as PART_KEYS
from simulator.scaling.stopping import sizes
from topologies.units import Seconds, format_quantity, number_in

if TYPE_CHECKING:
    from simulator.scaling.curve import Scaling

_LINE = PARTS["compute_s"][1]
_MAX_BARS = 24
_LEAST_APART = 0.1  # of the axis, between two labels
_LEAST_SHARE = 5e-4  # of the step: what is less is not seen
_COLUMNS = 150  # of the answer, in characters
_Series = list[tuple[Point, Measures]]


def draw(scaling: Scaling) -> Figure:
    """Return the figure: a curve over devices, or bars where they do not vary."""
    devices = {found.devices for _, found in _predicted(scaling)}
    return _curve(scaling) if len(devices) > 1 else _bars(scaling)


def _predicted(scaling: Scaling) -> _Series:
    return [(p, p.measures) for p in scaling.points if p.measures]


# -- over devices ----------------------------------------------------------------------


def _curve(scaling: Scaling) -> Figure:
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08)
    figure = Figure(figsize=(10.0, 4.6), layout=layout)
    left, right = figure.subplots(1, 2)
    figure.suptitle(
        scaling.title, x=0.012, ha="left", fontsize=12, fontweight="bold", color=INK
    )
    feasible = sizes(scaling.points)
    best = feasible or sorted(_predicted(scaling), key=lambda pair: pair[1].devices)
    _draw_times(left, scaling, best)
    _draw_efficiencies(right, scaling, best)
    for axes in (left, right):
        _devices_axis(axes, sorted({found.devices for _, found in _predicted(scaling)}))
    said = "\n".join(fill(line, _COLUMNS) for line in scaling.answer.splitlines())
    figure.supxlabel(said, x=0.012, ha="left", fontsize=9, color=INK)
    return figure


def _draw_times(axes: Axes, scaling: Scaling, best: _Series) -> None:
    unit = unit_of(format_quantity(best[0][1].step_time_s, "s"))
    devices = np.array([found.devices for _, found in best])
    times = np.array([number_in(found.step_time_s, unit) for _, found in best])
    low, high = (
        [number_in(found.interval_s[side], unit) for _, found in best]
        for side in (0, 1)
    )
    axes.fill_between(
        devices, low, high, color=_LINE, alpha=0.13, linewidth=0,
        label="nine of ten cases",
    )  # fmt: skip
    ideal = times[0] * (
        np.ones(len(devices)) if scaling.is_weak else devices[0] / devices
    )
    axes.plot(
        devices, ideal, color=FAINT, linestyle=(0, (4, 3)), linewidth=1, label="ideal"
    )
    axes.plot(
        devices, times, color=_LINE, marker="o", markersize=4.5, label="predicted"
    )
    heights = {
        id(p): number_in(found.step_time_s, unit) for p, found in _predicted(scaling)
    }
    _draw_others(axes, scaling, best, lambda point: heights[id(point)])
    if scaling.is_weak:
        axes.set_ylim(0, 1.15 * max(high))
    else:
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.set_title(f"time of one step [{unit}]")
    _mark_stop(axes, scaling, {int(n): t for n, t in zip(devices, times, strict=True)})
    axes.legend(loc="lower left")


def _draw_efficiencies(axes: Axes, scaling: Scaling, best: _Series) -> None:
    devices = [found.devices for _, found in best]
    values = [_efficiency(scaling, point) for point, _ in best]
    axes.axhline(100, color=FAINT, linestyle=(0, (4, 3)), linewidth=1)
    axes.plot(devices, values, color=_LINE, marker="o", markersize=4.5)
    _draw_others(axes, scaling, best, lambda point: _efficiency(scaling, point))
    most = max(_efficiency(scaling, point) for point, _ in _predicted(scaling))
    axes.set_ylim(0, max(110.0, 1.08 * most))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}%"))
    axes.set_title(f"efficiency, relative to {devices[0]:,} devices")
    _mark_stop(axes, scaling, dict(zip(devices, values, strict=True)), with_words=True)


def _efficiency(scaling: Scaling, point: Point) -> float:
    """Return the efficiency in per cent, for an axis."""
    return number_in(scaling.relative(point)[1] or 0.0, "%")


def _draw_others(
    axes: Axes, scaling: Scaling, best: _Series, height: Callable[[Point], float]
) -> None:
    """Mark points that are not the fastest of their size, or do not fit."""
    on_line = [id(point) for point, _ in best]
    others = [pair for pair in _predicted(scaling) if id(pair[0]) not in on_line]
    for is_feasible, face, label in (
        (True, _LINE, "slower with as many devices"),
        (False, "white", "does not fit in memory"),
    ):
        chosen = [pair for pair in others if pair[0].is_feasible is is_feasible]
        if chosen:
            axes.plot(
                [found.devices for _, found in chosen], [height(p) for p, _ in chosen],
                linestyle="none", marker="o", markersize=4, markerfacecolor=face,
                markeredgecolor=_LINE, alpha=0.45, label=label,
            )  # fmt: skip


def _mark_stop(
    axes: Axes,
    scaling: Scaling,
    heights: dict[int, float],
    *,
    with_words: bool = False,
) -> None:
    """Ring the point where scaling stops paying, and say why."""
    stop = scaling.stop
    if stop is None or stop.before.devices is None:
        return
    place = stop.before.devices, heights[stop.before.devices]
    axes.plot(
        *place, marker="o", markersize=13, markerfacecolor="none",
        markeredgecolor=ALARM, markeredgewidth=1.6, linestyle="none",
    )  # fmt: skip
    if with_words:
        axes.annotate(
            f"stops paying at {place[0]:,}:\nbeyond, {PART_NAMES[stop.part]}",
            place, xytext=(-10, -16), textcoords="offset points", ha="right", va="top",
            color=ALARM, fontsize=9,
        )  # fmt: skip


def _devices_axis(axes: Axes, devices: list[int]) -> None:
    axes.set_xscale("log", base=2)
    apart = (devices[-1] / devices[0]) ** _LEAST_APART
    ticks = devices[:1]
    for number in devices[1:]:
        if number >= apart * ticks[-1]:
            ticks.append(number)
    axes.set_xticks(ticks, [f"{n:,}" for n in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(devices[0] / 1.12, devices[-1] * 1.12)
    axes.set_xlabel("devices")
    axes.grid(visible=True, color=FAINT, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)


# -- at one number of devices ----------------------------------------------------------


def _bars(scaling: Scaling) -> Figure:
    shown = sorted(_predicted(scaling), key=lambda pair: -pair[1].flop_per_s)
    left_out = len(shown) - _MAX_BARS
    shown = shown[:_MAX_BARS]
    figure = Figure(
        figsize=(9.5, 1.7 + 0.34 * max(1, len(shown))), layout="constrained"
    )
    axes = figure.subplots()
    figure.suptitle(
        scaling.title, x=0.012, ha="left", fontsize=12, fontweight="bold", color=INK
    )
    if not shown:
        axes.set_axis_off()
        axes.text(0, 0.5, scaling.answer, va="center", color=ALARM)
        return figure
    longest: Seconds = max(found.step_time_s for _, found in shown)
    unit = unit_of(format_quantity(longest, "s"))
    for row, (point, found) in enumerate(shown):
        _draw_point(axes, row, point, found, unit)
    names = [described(point.settings) for point, _ in shown]
    axes.set_yticks(range(len(shown)), names)
    for label, (point, _) in zip(axes.get_yticklabels(), shown, strict=True):
        label.set_color(INK if point.is_feasible else FAINT)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(shown) - 0.45, -0.55)  # the fastest on top
    axes.set_xlim(0, 1.22 * number_in(longest, unit))
    more = (
        f", the fastest {_MAX_BARS} of {left_out + _MAX_BARS}" if left_out > 0 else ""
    )
    axes.set_xlabel(f"time of one step [{unit}]{more}")
    handles = [
        Patch(color=PARTS[part][1], label=PARTS[part][0])
        for part in PART_KEYS
        if any(found.share(part) >= _LEAST_SHARE for _, found in shown)
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=4, handlelength=0.9)
    return figure


def _draw_point(axes: Axes, row: int, point: Point, found: Measures, unit: str) -> None:
    left = 0.0
    for part in PART_KEYS:
        width = number_in(getattr(found.breakdown, part), unit)
        if found.share(part) < _LEAST_SHARE:
            continue
        colour = PARTS[part][1]
        axes.barh(
            row, width, left=left, height=0.72, color=colour, edgecolor="white",
            linewidth=0.6, alpha=1.0 if point.is_feasible else 0.3,
        )  # fmt: skip
        left += width
    verdict = "" if point.is_feasible else f"  {point.status.replace('_', ' ')}"
    axes.text(
        left, row, f"  {format_quantity(found.step_time_s, 's')}{verdict}",
        va="center", color=INK if point.is_feasible else ALARM, fontsize=8.5,
    )  # fmt: skip
