"""Network graphs: hosts, switches and links; families by name, figures, routes."""

from topologies.graphs.families import FAMILIES, build, describe
from topologies.graphs.figures import Figures, figures
from topologies.graphs.network import Cable, CutError, GraphError, Network, wired
from topologies.graphs.routes import Routes, routes

__all__ = [
    "FAMILIES",
    "Cable",
    "CutError",
    "Figures",
    "GraphError",
    "Network",
    "Routes",
    "build",
    "describe",
    "figures",
    "routes",
    "wired",
]
