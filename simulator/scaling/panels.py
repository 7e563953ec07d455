"""Small multiples of a study: a row for each plan, a column for each value of a key.

Of the keys that do not change the number of devices, the last makes the columns and
the others the lines of a panel; a single one makes the lines.
"""

from __future__ import annotations

from itertools import product
from textwrap import fill
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from simulator.plot.style import FAINT, INK
from simulator.scaling.curve import Scaling
from simulator.scaling.points import short_names
from simulator.scaling.study import name_of
from topologies.units import number_in

if TYPE_CHECKING:
    from simulator.scaling.study import Study

_SIZES = frozenset(
    {"cluster.nodes", "cluster.devices_per_node", "parallelism.data", "batch.global"}
)
_COLOURS = ("#3b6ea5", "#e08a3c", "#8f7ab8", "#c8504f", "#4f9d69", "#7f7f7f")
_MARKERS = "osD^vP"
_WIDTH, _HEIGHT = 2.35, 2.1  # of a panel, in inches
_LETTERS = 9.0  # of the title in an inch
_ENTRY = 1.7  # of the legend, in inches
_TOP = 112.0  # per cent
_Choice = tuple[tuple[str, Any], ...]


def draw(study: Study) -> Figure:
    """Return efficiency against devices, a panel for each plan and column."""
    scalings = [scaling for scaling in study.scalings if scaling.points]
    keys = scalings[0].keys if scalings else ()
    free = [key for key in keys if key not in _SIZES]
    cut = len(free) - (len(free) > 1)
    lines, columns = _choices(scalings, free[:cut]), _choices(scalings, free[cut:])
    figure = Figure(
        figsize=(1.2 + _WIDTH * len(columns), 0.9 + _HEIGHT * max(1, len(scalings))),
        layout="constrained",
    )
    panels = figure.subplots(
        max(1, len(scalings)), len(columns), sharex=True, sharey=True, squeeze=False
    )
    for row, scaling in enumerate(scalings):
        for column, chosen in enumerate(columns):
            axes = panels[row][column]
            _draw_panel(axes, scaling, chosen, lines)
            if row == 0:
                axes.set_title(_titled(chosen))
        panels[row][0].set_ylabel(_short(name_of(scaling.plan)))
    for axes in panels[-1]:
        axes.set_xlabel("devices")
    kind = "weak scaling" if any(s.is_weak for s in scalings) else "scaling"
    width = figure.get_figwidth()
    text = f"Efficiency, {kind}: samples/s per device, relative to the first point"
    figure.suptitle(
        fill(text, int(_LETTERS * width)),
        x=0.008, ha="left", fontsize=12, fontweight="bold", color=INK,
    )  # fmt: skip
    if free:
        title = ", ".join(short_names(tuple(free[:cut])).values())
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="outside lower left",
            ncols=max(1, int(width / _ENTRY)),
            title=title,
        )
    return figure


def _choices(scalings: list[Scaling], keys: list[str]) -> list[_Choice]:
    """Return every combination of the values of some keys, in order."""
    points = [point for scaling in scalings for point in scaling.points]
    values = [dict.fromkeys(point.settings[key] for point in points) for key in keys]
    return [tuple(zip(keys, chosen, strict=True)) for chosen in product(*values)]


def _draw_panel(
    axes: Axes,
    scaling: Scaling,
    chosen: _Choice,
    lines: list[_Choice],
) -> None:
    """Draw the lines of a panel; the later ones are thinner, and on top."""
    axes.axhline(100, color=FAINT, linestyle=(0, (4, 3)), linewidth=1)
    sizes: set[int] = set()
    for number, line in enumerate(lines):
        found = sorted(
            (point.measures.devices, number_in(efficiency, "%"))
            for point in scaling.points
            if point.measures and point.is_feasible
            and all(point.settings[key] == value for key, value in (*chosen, *line))
            and (efficiency := scaling.relative(point)[1]) is not None
        )  # fmt: skip
        sizes |= {devices for devices, _ in found}
        axes.plot(
            [devices for devices, _ in found],
            [efficiency for _, efficiency in found],
            color=_COLOURS[number % len(_COLOURS)],
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=max(2.5, 8.0 - 1.2 * number),
            linewidth=max(0.8, 4.0 - 0.7 * number),
            label=_titled(line),
        )
    axes.set_xscale("log", base=2)
    axes.set_ylim(0, _TOP)
    axes.set_xticks(sorted(sizes), [f"{n:,}" for n in sorted(sizes)])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}%"))
    axes.grid(visible=True, color=FAINT, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)


def _titled(chosen: _Choice) -> str:
    return ", ".join(str(value) for _, value in chosen)


def _short(name: str, longest: int = 26) -> str:
    """Return a title, cut where it is too long for the side of a panel."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
