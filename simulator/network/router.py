"""What a network has to offer to carry traffic: links, and routes between endpoints."""

from __future__ import annotations

from typing import Protocol

from numpy.typing import ArrayLike

from topologies.graphs.arrays import Floats
from topologies.graphs.routes import Routes


class Router(Protocol):
    """Links, and the routes of pairs of endpoints over them."""

    @property
    def num_endpoints(self) -> int:
        """Endpoints, numbered from 0 [1]."""

    @property
    def bandwidth(self) -> Floats:
        """Bandwidth of every link [B/s]."""

    def routes(self, pairs: ArrayLike) -> Routes:
        """Return the routes of some pairs, rows of sender and receiver."""

    def describe(self) -> str:
        """Return what it is, with a network person's figures."""

    def link_name(self, link: int) -> str:
        """Return what to call a link in messages."""
