"""A drawing of a network: hosts, switches, and the load of every link as colour.

Tiers are rows; grids of two dimensions are grids, a third is set off; everything else
is a circle of hosts with the switches inside it. The two directions of a cable are
drawn side by side. matplotlib is loaded when something is drawn; the same network and
loads give the same bytes.

Limits: labels are left out above 64 nodes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from topologies.graphs.arrays import Booleans, Floats
from topologies.graphs.network import Network

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".svg", ".png")
_LABELLED = 64
_STYLE: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "rehearsal"}
_INK, _HOST, _SWITCH, _CABLE = "#22262e", "#3b6ea5", "#e08a3c", "#c3c9d4"
_FAILED = "#b3261e"
_BEND, _POINTS = 0.1, 13


def draw(
    network: Network,
    loads: ArrayLike | None = None,
    path: str | Path | None = None,
    *,
    label: str = "load",
    failed: Iterable[int] = (),
) -> Figure:
    """Return a drawing of a network, and write it if there is a path.

    Args:
        network: nodes and links.
        loads: of every link, in any unit; the colour scale begins at 0.
        path: of an SVG or PNG file.
        label: what the loads are, with their unit, such as `utilization [1]`.
        failed: links that carry nothing; they are dotted.

    Raises:
        ValueError: the suffix is another, or there is not one load for each link.
    """
    import matplotlib as mpl  # noqa: PLC0415 - a prediction does not pay for it
    from matplotlib.figure import Figure  # noqa: PLC0415

    file = None if path is None else Path(path)
    if file and file.suffix not in FORMATS:
        raise ValueError(f"{file}: a drawing is a {' or '.join(FORMATS)} file")
    values = None if loads is None else np.asarray(loads, np.float64)
    if values is not None and values.shape != (network.num_links,):
        raise ValueError(f"{network.num_links} links need as many loads")
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.0, 5.5), layout="constrained")
        axes = figure.add_subplot()
        axes.set_axis_off()
        axes.set_aspect("auto" if network.levels else "equal")
        axes.set_title(network.name, loc="left", fontsize=10, color=_INK)
        place = positions(network)
        _draw(axes, network, place, values, label)
        _draw_failed(axes, network, place, sorted(failed))
        if file:
            metadata: dict[str, Any] = {"Date": None} if file.suffix == ".svg" else {}
            figure.savefig(file, metadata=metadata, dpi=160)
    return figure


def _draw_failed(
    axes: Axes, network: Network, place: Floats, failed: list[int]
) -> None:
    from matplotlib.collections import LineCollection  # noqa: PLC0415

    segments = list(_segments(network, place)[failed])
    for colour, style, width in (("white", "solid", 6.0), (_FAILED, "dotted", 2.6)):
        lines = LineCollection(
            segments, colors=colour, linestyles=style, linewidths=width
        )
        axes.add_collection(lines)


def positions(network: Network) -> Floats:
    """Return where every node is drawn, a row of x and y each [1]."""
    if network.levels:
        return _rows(np.array(network.levels))
    if len(network.shape) in {2, 3}:
        hosts = np.arange(network.num_hosts)
        place = np.stack(np.unravel_index(hosts, network.shape), 1).astype(np.float64)
        depth = place[:, 2] if len(network.shape) == 3 else np.zeros(len(hosts))
        # The third dimension goes off at an angle that hides no node.
        return np.stack([place[:, 1] + 0.31 * depth, 0.37 * depth - place[:, 0]], 1)
    hub = 1 if _has_hub(network) else 0
    hosts_at = _circle(network.num_hosts - hub, 1.0)
    switches_at = _circle(network.num_switches, 0.6)
    return np.concatenate([np.zeros((hub, 2)), hosts_at, switches_at])


def _has_hub(network: Network) -> bool:
    """Return whether host 0 is joined to all others, and they are not to all."""
    degree = np.bincount(network.source, minlength=network.num_nodes)
    is_all = degree[0] == network.num_nodes - 1
    return bool(network.num_switches == 0 and is_all and degree[1:].max() < degree[0])


def _rows(levels: Any) -> Floats:
    place = np.zeros((len(levels), 2))
    for level in np.unique(levels):
        nodes = np.flatnonzero(levels == level)
        place[nodes, 0] = (np.arange(len(nodes)) + 0.5) / len(nodes)
        place[nodes, 1] = level
    return place


def _circle(count: int, radius: float) -> Floats:
    angle = np.pi / 2 - 2 * np.pi * np.arange(count) / max(count, 1)
    return radius * np.stack([np.cos(angle), np.sin(angle)], 1)


def _segments(network: Network, place: Floats) -> Floats:
    """Return the points of every link, the two directions of a cable side by side.

    A link that closes a dimension of a grid is bent, or it would hide the others.
    """
    begin, end = place[network.source], place[network.target]
    length = np.linalg.norm(end - begin, axis=1, keepdims=True)
    along = (end - begin) / length
    normal = np.stack([along[:, 1], -along[:, 0]], 1)
    aside = 0.004 * np.ptp(place, axis=0).max() * normal
    # Both directions of a cable bend the same way.
    forward = np.where(network.source < network.target, 1.0, -1.0)[:, None]
    bend = _BEND * length * forward * normal * _closes(network)[:, None]
    points = np.linspace(0.0, 1.0, _POINTS)[None, :, None]
    straight = begin[:, None] + points * (end - begin)[:, None]
    curve: Floats = (
        straight + aside[:, None] - 4 * points * (1 - points) * bend[:, None]
    )
    return curve


def _closes(network: Network) -> Booleans:
    """Return which links close a dimension of a torus of two or three."""
    if not network.wraps or len(network.shape) not in {2, 3}:
        return np.zeros(network.num_links, bool)
    ends = [
        np.stack(np.unravel_index(end, network.shape))
        for end in (network.source, network.target)
    ]
    return np.asarray(np.abs(ends[0] - ends[1]).max(axis=0) > 1)


def _draw(
    axes: Axes, network: Network, place: Floats, loads: Floats | None, label: str
) -> None:
    from matplotlib.collections import LineCollection  # noqa: PLC0415

    segments = _segments(network, place)
    width = 0.8 + 1.2 * (network.num_nodes <= _LABELLED)
    if loads is None:
        lines = LineCollection(list(segments), colors=_CABLE, linewidths=width)
        axes.add_collection(lines)
    else:
        order = np.argsort(loads, kind="stable")  # the busiest on top
        lines = LineCollection(
            list(segments[order]), array=loads[order], cmap="viridis_r"
        )
        lines.set_linewidth(width)
        lines.set_clim(0.0, float(loads.max(initial=0.0)) or 1.0)
        axes.add_collection(lines)
        axes.figure.colorbar(lines, ax=axes, label=label, shrink=0.8)
    is_host = np.arange(network.num_nodes) < network.num_hosts
    dot = 60 if network.num_nodes <= _LABELLED else 12
    for chosen, colour, marker in ((is_host, _HOST, "o"), (~is_host, _SWITCH, "s")):
        where = place[chosen]
        axes.scatter(where[:, 0], where[:, 1], s=dot, c=colour, marker=marker, zorder=3)
    if network.num_nodes <= _LABELLED:
        for (x, y), name in zip(place.tolist(), network.labels, strict=True):
            axes.annotate(
                name,
                (x, y),
                xytext=(0, 6),
                textcoords="offset points",
                fontsize=6,
                ha="center",
                color=_INK,
            )
    axes.autoscale_view()
    axes.margins(0.06)
