"""A network and how traffic is routed on it, as one thing that answers for routes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from topologies.graphs.arrays import Floats
from topologies.graphs.figures import figures
from topologies.graphs.network import CutError, Network
from topologies.graphs.routes import Paths, Routes, failed_cables, routes
from topologies.graphs.walking import Spread
from topologies.units import format_quantity


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wiring:
    """A network with a choice of routes; its endpoints are the hosts.

    Fields:
        network: nodes and links; links that are slower than others are part of it.
        paths: that may be used; `usual_paths` names what such hardware does.
        spread: over these paths.
        seed: of the hash, where paths are hashed.
        failed: links that carry nothing; both numbers of a cable if it is cut.

    Raises:
        GraphError: the network has no such paths or links.
    """

    network: Network
    paths: Paths = "shortest"
    spread: Spread = "split"
    seed: int = 0
    failed: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse options that the network does not have."""
        self.routes(())

    @property
    def num_endpoints(self) -> int:
        """Hosts [1]."""
        return self.network.num_hosts

    @property
    def bandwidth(self) -> Floats:
        """Bandwidth of every link [B/s]."""
        return self.network.bandwidth

    def link_name(self, link: int) -> str:
        """Return `from → to`, by the labels of a link's ends."""
        return self.network.link_name(link)

    def routes(self, pairs: ArrayLike) -> Routes:
        """Return the routes of some pairs of hosts.

        Args:
            pairs: rows of sender and receiver.

        Raises:
            CutError: failed links separate some pair; it names the smaller side.
        """
        return routes(
            self.network,
            pairs,
            paths=self.paths,
            spread=self.spread,
            seed=self.seed,
            failed=self.failed,
        )

    def describe(self) -> str:
        """Return a line on the network: its figures, and how many cables failed."""
        text = summary(self.network, self.failed)
        return f"{text}, {failed_cables(self.failed)}" if self.failed else text


def usual_paths(network: Network) -> Paths:
    """Return the paths that hardware of this shape uses.

    Grids route in dimension order and tiers up and down, since neither can deadlock;
    everything else goes the shortest way.
    """
    if network.shape:
        return "dimension-order"
    return "up-down" if network.levels else "shortest"


def summary(network: Network, failed: Iterable[int] = ()) -> str:
    """Return a line on a network: its name and its figures, or that it is cut.

    Args:
        network: nodes and links.
        failed: links that carry nothing; the figures are of what is left.
    """
    if network.num_hosts < 2:
        return network.name
    try:
        found = figures(network, failed)
    except CutError:
        return f"{network.name}: cut, some hosts cannot reach each other"
    widths = np.unique(network.bandwidth[network.source < network.num_hosts])
    cut = format_quantity(found.bisection_bandwidth, "B/s")
    if len(widths) == 1:
        number = found.bisection_bandwidth / float(widths[0])
        cut = f"{number:.4g} × {format_quantity(float(widths[0]), 'B/s')}"
    if found.bisection_method.startswith("upper bound"):
        cut = f"at most {cut}"
    over = found.oversubscription
    tiers = f", oversubscription {over:.3g}" if over is not None else ""
    return (
        f"{network.name}: diameter {found.diameter}, "
        f"mean path {found.mean_path_length:.3g}, bisection {cut}{tiers}"
    )
