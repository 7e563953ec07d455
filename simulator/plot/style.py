"""What all pictures have in common: colours, fonts, formats, and how one is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import matplotlib as mpl
from matplotlib.figure import Figure

from simulator.errors import RehearsalError
from simulator.results.result import Result

# Part of the step: its name and its colour, told apart by colour-blind readers too.
PARTS = {
    "compute_s": ("compute", "#3b6ea5"),
    "exposed_communication_s": ("exposed communication", "#e08a3c"),
    "bubble_s": ("pipeline bubble", "#c3c9d4"),
    "synchronization_s": ("waiting for other ranks", "#8f7ab8"),
    "host_s": ("waiting for the host", "#c8504f"),
    "other_s": ("other", "#7f7f7f"),
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


def title_of(result: Result) -> str:
    """Return what a picture is headed with."""
    plan = result.job.plan
    devices = f"{result.world_size:,} x {result.job.cluster.device.name}"
    return plan.title or f"{result.job.model.name} on {devices}"


def readable_on(colour: str) -> str:
    """Return ink or white, whichever reads better on `colour` (#rrggbb)."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 150 else "white"
