"""What runs when, by rank and stream.

Limits: the first 64 simulated ranks are shown, and of a step with very many passes only
its beginning and its end.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from simulator.plot.style import FAINT, INK, finished, readable_on, title_of, unit_of
from simulator.results.result import Result
from simulator.results.timeline import Span
from topologies.units import Seconds, format_quantity, number_in

_PHASES = {
    "forward": ("forward", "#3b6ea5"),
    "backward": ("backward", "#7fb08a"),
    "step": ("optimizer step", "#8f7ab8"),
    "message": ("message", "#e08a3c"),
}
_MAX_RANKS = 64
_MAX_PASSES = 64  # of one rank; beyond, its two ends are drawn
_END_PASSES = 24  # of one rank in each of them
_DIGIT = 0.0062  # width of one in a box, as a share of the figure
# Of each stream, offset and height in a rank's row; collectives share a lane.
_LANES = {
    "compute": (0.0, 0.56),
    "data": (0.58, 0.16),
    "tensor": (0.58, 0.16),
    "exchange": (0.58, 0.16),
    "pull": (0.76, 0.12),
    "gather": (0.58, 0.16),
    "reduce": (0.58, 0.16),
    "send-forward": (0.76, 0.12),
    "send-backward": (0.76, 0.12),
}
_MIDDLE = 0.29  # of a rank's row: where its name and its passes' numbers stand


def plot_timeline(result: Result, path: str | os.PathLike[str] | None = None) -> Figure:
    """Return what runs when, by rank and stream, written to `path` if given.

    Raises:
        UnknownFormat: the suffix of `path` is none that is written.
    """
    return finished(lambda: _timeline(result), path)


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
        f"{title_of(result)}: one step of {time}",
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
        offset, height = _LANES[stream]
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
            middle, span.rank + _MIDDLE, number, ha="center", va="center", fontsize=6.5,
            color=readable_on(_PHASES[span.op.body.phase][1]), clip_on=True,
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
    axes.set_yticks([rank + _MIDDLE for rank in range(ranks)], names)
    axes.set_ylim(ranks - 0.02, -0.12)  # the first rank on top
    if ranks < len(roles):
        axes.set_ylabel(f"the first {ranks} of {len(roles)} simulated ranks")
