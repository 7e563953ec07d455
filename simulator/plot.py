"""Pictures of a prediction: where the step goes, what fills memory, what runs when.

Every function returns a matplotlib `Figure` and, given a path, writes it as SVG (text
stays text) or PNG. There is no pyplot and no global state: a figure belongs to whoever
asked for it, and the same result gives the same bytes.

Limits: a timeline shows the first 64 simulated ranks, and of a step with very many
passes only its beginning and its end.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

from simulator.errors import RehearsalError
from simulator.result import Result
from simulator.timeline import Span
from topologies.units import Seconds, format_memory, format_quantity, number_in

# Part of the step: its name and its colour, told apart by colour-blind readers too.
PARTS = {
    "compute_s": ("compute", "#3b6ea5"),
    "exposed_communication_s": ("exposed communication", "#e08a3c"),
    "bubble_s": ("pipeline bubble", "#c3c9d4"),
    "synchronization_s": ("waiting for other ranks", "#8f7ab8"),
    "host_s": ("waiting for the host", "#c8504f"),
    "other_s": ("other", "#7f7f7f"),
}
_MEMORY = {
    "weights": ("weights", "#3b6ea5"),
    "gradients": ("gradients", "#7ba6d1"),
    "optimizer": ("optimizer state", "#4f9d86"),
    "activations": ("activations", "#e0b43c"),
    "buffers": ("communication buffers", "#e08a3c"),
    "overhead": ("context and libraries", "#c3c9d4"),
}
_PHASES = {
    "forward": ("forward", "#3b6ea5"),
    "backward": ("backward", "#7fb08a"),
    "step": ("optimizer step", "#8f7ab8"),
    "message": ("message", "#e08a3c"),
}
INK, FAINT, ALARM = "#22262e", "#8a919e", "#b3261e"
STYLE: dict[Any, Any] = {
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "font.family": "sans-serif",
    "font.size": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "savefig.dpi": 160,
    "svg.fonttype": "none",
    "svg.hashsalt": "rehearsal",
    "text.color": INK,
    "text.parse_math": False,  # titles are the user's, dollars and all
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
}
# Without the date, the same figure gives the same bytes.
_METADATA: dict[str, dict[str, Any]] = {".svg": {"Date": None}, ".png": {}}
_LEAST_LABELLED = 0.07  # of the axis: narrower segments have no room for their number
_MAX_RANKS = 64
_MAX_PASSES = 64  # of one rank in a timeline; beyond, its two ends are drawn
_END_PASSES = 24  # of one rank in each of them
_DIGIT = 0.0062  # width of one in a box, as a share of the figure


class UnknownFormat(RehearsalError):  # noqa: N818 - says what holds
    """A file name whose suffix is no picture that is written."""

    exit_code: ClassVar[int] = 2

    def __init__(self, path: str | os.PathLike[str]) -> None:
        suffix = Path(path).suffix
        what = f"unknown picture format '{suffix}'" if suffix else "no picture format"
        near = Path(path).with_suffix(".svg") if Path(path).name else "picture.svg"
        super().__init__(
            f"{os.fspath(path) or 'the path'}: {what}; allowed: "
            f"{', '.join(_METADATA)}, such as {near}"
        )


def plot_breakdown(
    result: Result, path: str | os.PathLike[str] | None = None
) -> Figure:
    """Return the parts of the step and of memory as bars, written to `path` if given.

    Raises:
        UnknownFormat: the suffix of `path` is none that is written.
    """
    return finished(lambda: _breakdown(result), path)


def plot_timeline(result: Result, path: str | os.PathLike[str] | None = None) -> Figure:
    """Return what runs when, by rank and stream, written to `path` if given.

    Raises:
        UnknownFormat: the suffix of `path` is none that is written.
    """
    return finished(lambda: _timeline(result), path)


def finished(draw: Callable[[], Figure], path: str | os.PathLike[str] | None) -> Figure:
    """Return what `draw` draws in the house style, written to `path` if given."""
    if path is not None:
        check_format(path)
    with mpl.rc_context(STYLE):
        figure = draw()
        if path is not None:
            metadata = _METADATA[Path(path).suffix.lower()]
            figure.savefig(path, metadata=metadata, facecolor="white")
    return figure


def check_format(path: str | os.PathLike[str]) -> None:
    """Refuse a path whose suffix is not written.

    Raises:
        UnknownFormat: with the suffixes that are.
    """
    if Path(path).suffix.lower() not in _METADATA:
        raise UnknownFormat(path)


def unit_of(written: str) -> str:
    """Return the unit of a formatted quantity: that of the whole serves its axis."""
    return written.rpartition(" ")[2]


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
        _title(result), x=0.018, ha="left", fontsize=12, fontweight="bold", color=INK
    )
    _step_bar(above, result)
    _memory_bar(below, result)
    return figure


def _title(result: Result) -> str:
    plan = result.job.plan
    devices = f"{result.world_size:,} x {result.job.cluster.device.name}"
    return plan.title or f"{result.job.model.name} on {devices}"


def _step_bar(axes: Axes, result: Result) -> None:
    parts = [
        (*PARTS[key], seconds)
        for key, seconds in asdict(result.breakdown).items()
        if seconds / result.step_time_s >= 5e-4
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
    parts = [part for part in parts if part[2] / capacity >= 5e-4]
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
                color=_readable(colour), fontsize=9,
            )  # fmt: skip
        left += width
    axes.set_xlim(0, number_in(end, bar.unit) * 1.01)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.legend(
        loc="upper left", bbox_to_anchor=(-0.012, -0.34), ncols=3, columnspacing=1.8,
        handlelength=0.9, handleheight=0.9,
    )  # fmt: skip


def _readable(colour: str) -> str:
    """Return ink or white, whichever reads better on `colour` (#rrggbb)."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 150 else "white"


# -- timeline --------------------------------------------------------------------------

_STREAMS = {"compute": 0.0, "data": 1.0, "send-forward": 2.0, "send-backward": 2.0}
_LANES = ((0.0, 0.56), (0.58, 0.16), (0.76, 0.12))  # offset and height in a rank's row


def _timeline(result: Result) -> Figure:
    ranks = min(len(result.timeline.roles), _MAX_RANKS)
    spans = [s for s in result.timeline.spans if s.rank < ranks and s.end > s.start]
    windows = list(_windows(spans, result.timeline.step_time))
    height = min(14.0, 1.9 + 0.42 * ranks)
    figure = Figure(figsize=(11.0, height), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(
        1, len(windows), sharey=True, squeeze=False
    )[0]
    time = format_quantity(result.step_time_s, "s")
    figure.suptitle(
        f"{_title(result)}: one step of {time}",
        x=0.008, ha="left", fontsize=12, fontweight="bold", color=INK,
    )  # fmt: skip
    unit = unit_of(format_quantity(windows[0][1] - windows[0][0], "s"))
    for axes, (start, end) in zip(panels, windows, strict=True):
        _draw_window(axes, spans, (start, end), unit, _DIGIT * len(windows))
        axes.set_xlabel(f"time [{unit}]")
    if len(windows) > 1:
        panels[0].set_title("beginning", color=FAINT)
        panels[1].set_title("end", color=FAINT)
    _name_ranks(panels[0], result, ranks)
    handles = [
        Patch(color=colour, label=name)
        for phase, (name, colour) in _PHASES.items()
        if any(span.op.body.phase == phase for span in spans)
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=4, handlelength=0.9)
    return figure


def _windows(
    spans: list[Span], step_time: Seconds
) -> Iterator[tuple[Seconds, Seconds]]:
    """Yield the parts of the step that are drawn: all of it, or its two ends."""
    passes: dict[int, int] = defaultdict(int)
    for span in spans:
        passes[span.rank] += span.stream == "compute"
    most = max(passes.values(), default=1)
    if most <= _MAX_PASSES:
        yield 0.0, step_time
        return
    # Filling and draining the pipeline belong to the picture.
    work = [span for span in spans if span.op.body.phase in {"forward", "backward"}]
    first = {span.rank: span.start for span in reversed(work)}
    last = {span.rank: span.end for span in work}
    least = step_time * _END_PASSES / most
    start = max(least, 1.2 * max(first.values()))
    end = min(step_time - least, step_time - 1.2 * (step_time - min(last.values())))
    if start < end:
        yield 0.0, start
        yield end, step_time
    else:
        yield 0.0, step_time


def _draw_window(
    axes: Axes,
    spans: list[Span],
    window: tuple[Seconds, Seconds],
    unit: str,
    digit: float,
) -> None:
    start, end = window
    boxes: dict[tuple[int, str, str], list[tuple[float, float]]] = defaultdict(list)
    for span in spans:
        if span.end <= start or span.start >= end:
            continue
        begin, stop = number_in(span.start, unit), number_in(span.end, unit)
        key = span.rank, span.stream, span.op.body.phase
        boxes[key].append((begin, stop - begin))
        if span.stream == "compute":
            _name_pass(axes, span, window, unit, digit)
    for (rank, stream, phase), ranges in boxes.items():
        offset, height = _LANES[int(_STREAMS[stream])]
        colour = _PHASES[phase][1]
        axes.broken_barh(
            ranges, (rank + offset, height), facecolors=colour,
            # Messages can be short: their edge keeps them visible.
            edgecolors=colour if stream.startswith("send") else "white", linewidth=0.4,
        )  # fmt: skip
    axes.set_xlim(number_in(start, unit), number_in(end, unit))
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _name_pass(
    axes: Axes, span: Span, window: tuple[Seconds, Seconds], unit: str, digit: float
) -> None:
    """Write the micro-batch of a pass into its box, if it is wide enough.

    Args:
        axes: where to.
        span: the pass.
        window: what is shown.
        unit: of the axis.
        digit: width of a digit, as a share of the axis.
    """
    letter = next((c for c in span.op.name if c in "FBIW"), None)
    number = span.op.name.rpartition(letter)[2] if letter else ""
    is_wide = (span.end - span.start) / (window[1] - window[0]) > digit * (
        len(number) + 0.4
    )
    is_inside = span.start >= window[0] and span.end <= window[1]
    if number.isdecimal() and is_wide and is_inside:
        middle = number_in((span.start + span.end) / 2, unit)
        axes.text(
            middle, span.rank + 0.29, number, ha="center", va="center", fontsize=6.5,
            color=_readable(_PHASES[span.op.body.phase][1]), clip_on=True,
        )  # fmt: skip


def _name_ranks(axes: Axes, result: Result, ranks: int) -> None:
    roles = result.timeline.roles
    names = []
    for role in roles[:ranks]:
        name = f"stage {role.pipeline}"
        if role.multiplicity > 1:
            name += f" ({role.multiplicity:,} devices)"
        elif len(roles) > 1:
            name += f", data {role.data}, tensor {role.tensor}"
        names.append(name)
    axes.set_yticks([rank + 0.29 for rank in range(ranks)], names)
    axes.set_ylim(ranks - 0.02, -0.12)  # the first rank on top
    if ranks < len(roles):
        axes.set_ylabel(f"the first {ranks} of {len(roles)} simulated ranks")
