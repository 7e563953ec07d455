"""The parts of the step and of memory, as two stacked bars."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from simulator.plot.style import (
    ALARM,
    INK,
    PARTS,
    finished,
    readable_on,
    title_of,
    unit_of,
)
from simulator.results.result import Result
from topologies.units import format_memory, format_quantity, number_in

_MEMORY = {
    "weights": ("weights", "#3b6ea5"),
    "gradients": ("gradients", "#7ba6d1"),
    "optimizer": ("optimizer state", "#4f9d86"),
    "activations": ("activations", "#e0b43c"),
    "working": ("gradients and copies", "#c98fb0"),
    "workspace": ("convolution workspace", "#9a6fb0"),
    "buffers": ("communication buffers", "#e08a3c"),
    "allocator": ("allocator, unused", "#dfe3ea"),
    "overhead": ("context and libraries", "#c3c9d4"),
}
_LEAST_LABELLED = 0.07  # of the axis: narrower segments have no room for their number
_LEAST_SHARE = 5e-4  # of the whole: what is less is not seen


def plot_breakdown(
    result: Result, path: str | os.PathLike[str] | None = None
) -> Figure:
    """Return the parts of the step and of memory as bars, written to `path` if given.

    Raises:
        UnknownFormat: the suffix of `path` is none that is written.
    """
    return finished(lambda: _breakdown(result), path)


@dataclass(frozen=True, slots=True)
class _Bar:
    """One stacked bar: its parts, how long the axis is, and how numbers are written.

    Fields:
        parts: name, colour and amount, in base units.
        whole: what 100 % is.
        unit: of the axis.
        write: an amount for people.
    """

    parts: list[tuple[str, str, float]]
    whole: float
    unit: str
    write: Callable[[float], str]


def _breakdown(result: Result) -> Figure:
    layout = ConstrainedLayoutEngine(h_pad=0.09, w_pad=0.14, hspace=0.09)
    figure = Figure(figsize=(9.0, 4.9), layout=layout)
    above, below = figure.subplots(2, 1)
    figure.suptitle(
        title_of(result), x=0.018, ha="left", fontsize=12, fontweight="bold", color=INK
    )
    _step_bar(above, result)
    _memory_bar(below, result)
    return figure


def _step_bar(axes: Axes, result: Result) -> None:
    parts = [
        (*PARTS[key], seconds)
        for key, seconds in asdict(result.breakdown).items()
        if seconds / result.step_time_s >= _LEAST_SHARE
    ]
    unit = unit_of(format_quantity(result.step_time_s, "s"))
    low, high = result.interval_s
    mesh = result.job.plan.parallelism
    axes.set_title(
        f"step time {format_quantity(result.step_time_s, 's')}, between "
        f"{format_quantity(low, 's')} and {format_quantity(high, 's')} in nine of ten "
        f"cases  ·  MFU {result.mfu:.1%}  ·  tensor {mesh.tensor} x pipeline "
        f"{mesh.pipeline} x data {mesh.data}"
    )
    bar = _Bar(parts, result.step_time_s, unit, lambda v: format_quantity(v, "s"))
    _draw_bar(axes, bar, end=high)
    middle = number_in(result.step_time_s, unit)
    reach = [middle - number_in(low, unit)], [number_in(high, unit) - middle]
    axes.errorbar(
        [middle], [0.62], xerr=reach, color=INK, capsize=3, marker="o", markersize=3.5,
        linewidth=1,
    )  # fmt: skip
    axes.set_ylim(-0.5, 0.85)
    axes.set_xlabel(f"time of one step, mean over devices [{unit}]")


def _memory_bar(axes: Axes, result: Result) -> None:
    capacity = result.job.cluster.device.memory
    parts = [(*_MEMORY[key], v) for key, v in asdict(result.memory).items()]
    parts = [part for part in parts if part[2] / capacity >= _LEAST_SHARE]
    unit = unit_of(format_memory(capacity))
    fits = result.memory_peak_bytes <= capacity
    where = "the fullest device"
    if result.job.plan.parallelism.pipeline > 1:
        where += f" (pipeline rank {result.memory_rank})"
    verdict = "" if fits else ": DOES NOT FIT"
    axes.set_title(
        f"memory of {where} {format_memory(result.memory_peak_bytes)} of "
        f"{format_memory(capacity)}{verdict}",
        color=INK if fits else ALARM,
    )
    end = max(capacity, result.memory_peak_bytes)
    _draw_bar(axes, _Bar(parts, capacity, unit, format_memory), end=1.04 * end)
    limit = number_in(capacity, unit)
    axes.axvline(
        limit, color=INK if fits else ALARM, linestyle=(0, (4, 2)), linewidth=1.2
    )
    if not fits:
        peak = number_in(result.memory_peak_bytes, unit)
        axes.axvspan(limit, peak, color=ALARM, alpha=0.08, linewidth=0)
    is_right = limit > 0.5 * number_in(end, unit)
    axes.annotate(
        "capacity", (limit, 0.47), xytext=(-4 if is_right else 4, 0),
        textcoords="offset points", ha="right" if is_right else "left", va="bottom",
        color=INK if fits else ALARM, fontsize=8,
    )  # fmt: skip
    axes.set_ylim(-0.5, 0.7)
    axes.set_xlabel(f"memory, and shares of the capacity [{unit}]")


def _draw_bar(axes: Axes, bar: _Bar, *, end: float) -> None:
    """Draw the parts one after another, each with its number where there is room."""
    left = 0.0
    for name, colour, amount in bar.parts:
        width = number_in(amount, bar.unit)
        share = f"{amount / bar.whole:.1%}"
        axes.barh(
            [0.0], [width], left=[left], height=0.8, color=colour, edgecolor="white",
            linewidth=0.8, label=f"{name}  {bar.write(amount)}  {share}",
        )  # fmt: skip
        if amount / end >= _LEAST_LABELLED:
            axes.text(
                left + width / 2, 0, share, ha="center", va="center",
                color=readable_on(colour), fontsize=9,
            )  # fmt: skip
        left += width
    axes.set_xlim(0, number_in(end, bar.unit) * 1.01)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.legend(
        loc="upper left", bbox_to_anchor=(-0.012, -0.34), ncols=3, columnspacing=1.8,
        handlelength=0.9, handleheight=0.9,
    )  # fmt: skip
