"""The table of network families: one name and a few parameters make a network.

    build("torus", bandwidth=12.5e9, latency=5e-7, shape=[4, 4])

Names, parameters and defaults are those of the generators, which the table lists.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any

from topologies.graphs import clusters, direct, files, random_graphs, switched
from topologies.graphs.network import GraphError, Network
from topologies.units import BytesPerSecond, Seconds

Generator = Callable[..., Network]

FAMILIES: dict[str, Generator] = {
    "ring": direct.ring,
    "wheel": direct.wheel,
    "random": random_graphs.erdos_renyi,
    "random-regular": random_graphs.random_regular,
    "star": switched.star,
    "full": direct.full,
    "torus": direct.torus,
    "mesh": direct.mesh,
    "hypercube": direct.hypercube,
    "fat-tree": switched.fat_tree,
    "leaf-spine": switched.leaf_spine,
    "clos": switched.clos,
    "rail-optimized": clusters.rail_optimized,
    "dragonfly": clusters.dragonfly,
    "file": files.from_file,
}
"""Generator of every family, by the name that a plan uses."""

_LINK = ("bandwidth", "latency")


def build(
    family: str, *, bandwidth: BytesPerSecond, latency: Seconds, **parameters: Any
) -> Network:
    """Return a network of a family.

    Args:
        family: a name of `FAMILIES`.
        bandwidth: of a host's link, each direction [B/s].
        latency: of each link [s].
        parameters: of the family, as `describe` lists them.

    Raises:
        GraphError: there is no such family or parameter, one is missing, or the
            values make no network; the message says what is possible.
    """
    if family not in FAMILIES:
        near = difflib.get_close_matches(family, FAMILIES, n=1)
        guess = (
            f"did you mean {near[0]!r}?" if near else f"one of {', '.join(FAMILIES)}"
        )
        raise GraphError(f"unknown topology {family!r}; {guess}")
    known = parameters_of(family)
    written = ", ".join(_written(name, default) for name, default in known.items())
    for name in parameters:
        if name not in known:
            raise GraphError(f"{family} has no {name!r}; it takes {written}")
    missing = [
        name
        for name, default in known.items()
        if default is inspect.Parameter.empty and name not in parameters
    ]
    if missing:
        raise GraphError(f"{family} needs {' and '.join(missing)}; it takes {written}")
    return FAMILIES[family](bandwidth=bandwidth, latency=latency, **parameters)


def parameters_of(family: str) -> dict[str, Any]:
    """Return the parameters of a family beside its links, each with its default.

    What has no default is `inspect.Parameter.empty`.
    """
    signature = inspect.signature(FAMILIES[family])
    return {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if name not in _LINK
    }


def describe() -> list[dict[str, str]]:
    """Return a row for each family, headings as keys, for a list of topologies."""
    return [
        {
            "name": family,
            "topology": _summary(generator),
            "parameters": ", ".join(
                _written(name, default)
                for name, default in parameters_of(family).items()
            ),
        }
        for family, generator in FAMILIES.items()
    ]


def _summary(generator: Generator) -> str:
    first = (inspect.getdoc(generator) or "").partition("\n")[0]
    return first.removeprefix("Return ").rstrip(".")


def _written(name: str, default: Any) -> str:
    return name if default is inspect.Parameter.empty else f"{name} = {default}"
