"""Random flows on random networks, drawn and not picked, for `simgrid_flows.py`.

There are three sets of cases, of which each case has a seed of its own:

    paths      single paths, the least one or hashed; no latency
    latencies  the same with latencies; SimGrid shares a link in inverse proportion to
               the latency of the routes, which is our weight = 1 / latency
    splits     ECMP-split routes; a link that carries i of the n parts of a flow comes
               i times in SimGrid's route, where every part of every flow has the same
               rate, so that our weight is the greatest i
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import lcm
from typing import Any, NamedTuple

import numpy as np

from topologies.graphs import GraphError, Network, build, routes
from topologies.graphs.arrays import Floats, Integers

SETS = ("paths", "latencies", "splits")
MOST_FLOWS = 60
MOST_PARTS = 64  # of a split flow; with more it takes a single path
BANDWIDTH = 1e9  # of a link, before its own factor [B/s]


class Flow(NamedTuple):
    """One flow: its links, and how many of its parts cross each."""

    start: float
    part: int
    link: Integers
    times: Integers
    latency: float
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Flows on the links of a network."""

    number: int
    network: str
    bandwidth: Floats
    latency: Floats
    flows: list[Flow]


def cases(kind: str, count: int, seed: int) -> Iterator[Case]:
    """Draw cases; each is the same however many there are."""
    for number in range(count):
        rng = np.random.default_rng([seed, SETS.index(kind), number])
        network = random_network(rng)
        latency = np.zeros(network.num_links)
        if kind == "latencies":
            latency = 10.0 ** rng.uniform(-6.0, -3.0, network.num_links)
        yield Case(
            number=number,
            network=network.name,
            bandwidth=network.bandwidth * _factors(network.num_links, rng),
            latency=latency,
            flows=_flows(kind, network, latency, rng),
        )


def random_network(rng: np.random.Generator) -> Network:
    """Draw a network of any family; a parameter set that makes none is drawn again."""
    while True:
        family, parameters = _parameters(rng)
        try:
            return build(family, bandwidth=BANDWIDTH, latency=0.0, **parameters)
        except GraphError:
            continue


def _parameters(rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    def upto(low: int, high: int) -> int:
        return int(rng.integers(low, high + 1))

    shape = [upto(2, 5) for _ in range(upto(1, 3))]
    spines = {"spines": upto(1, 4), "oversubscription": float(upto(1, 4))}
    fabric = {"fabric_bandwidth": BANDWIDTH / 2, "fabric_latency": 0.0}
    families: dict[str, dict[str, Any]] = {
        "ring": {"hosts": upto(2, 24)},
        "wheel": {"hosts": upto(4, 24)},
        "random": {
            "hosts": upto(2, 32),
            "probability": float(rng.uniform(0.1, 0.9)),
            "seed": upto(0, 999),
        },
        "random-regular": {
            "hosts": upto(4, 32),
            "degree": upto(2, 5),
            "seed": upto(0, 999),
        },
        "star": {"hosts": upto(2, 24)},
        "full": {"hosts": upto(2, 12)},
        "torus": {"shape": shape},
        "mesh": {"shape": shape},
        "hypercube": {"dimension": upto(1, 5)},
        "fat-tree": {"k": 2 * upto(1, 3)},
        "leaf-spine": {"leaves": upto(2, 5), "hosts_per_leaf": upto(1, 6), **spines},
        "clos": {
            "pods": upto(2, 4),
            "leaves_per_pod": upto(1, 3),
            "hosts_per_leaf": upto(1, 4),
            "spines_per_pod": upto(1, 3),
            "cores_per_spine": upto(1, 3),
            "oversubscription": float(upto(1, 3)),
        },
        "rail-optimized": {
            "servers": upto(2, 6),
            "rails": upto(1, 4),
            **spines,
            **fabric,
        },
        "dragonfly": {
            "a": upto(2, 4),
            "h": upto(1, 2),
            "p": upto(1, 3),
            "g": upto(2, 5),
        },
    }
    family = str(rng.choice(sorted(families)))
    return family, families[family]


def _factors(count: int, rng: np.random.Generator) -> Floats:
    """Draw rates that tie, or rates of which no two are alike."""
    if rng.random() < 0.5:
        return rng.choice(np.array([0.5, 1.0, 2.0, 10.0]), count)
    factors: Floats = 10.0 ** rng.uniform(-1.0, 1.0, count)
    return factors


def _flows(
    kind: str, network: Network, latency: Floats, rng: np.random.Generator
) -> list[Flow]:
    """Draw flows between different hosts, of which some start at once."""
    count = int(rng.integers(2, MOST_FLOWS + 1))
    sender = rng.integers(0, network.num_hosts, count)
    further = rng.integers(1, network.num_hosts, count)
    pairs = np.stack([sender, (sender + further) % network.num_hosts], 1)
    single = routes(
        network, pairs, spread="one" if rng.random() < 0.5 else "hashed", seed=count
    )
    found = routes(network, pairs, spread="split") if kind == "splits" else single
    start = rng.uniform(0.0, 0.2, count) * (rng.random(count) < 0.7)
    size = 10.0 ** rng.uniform(5.0, 9.0, count)
    flows = []
    for index in range(count):
        link, fraction = found.of(index)
        parts = _parts(fraction)
        if parts > MOST_PARTS:
            link, fraction = single.of(index)
            parts = 1
        times = np.rint(fraction * parts).astype(np.int64)
        delay = float(latency[link].sum())
        weight = 1.0 / delay if delay else float(times.max())
        part = max(round(size[index] / parts), 1)
        flows.append(Flow(float(start[index]), part, link, times, delay, weight))
    return flows


def _parts(fraction: Floats) -> int:
    """Return the least number of parts of which each fraction is some, or too many."""
    parts = 1
    for each in np.unique(fraction):
        tried = each * np.arange(1, MOST_PARTS + 1)
        fits = np.flatnonzero(np.abs(tried - np.rint(tried)) < 2.0**-40)
        parts = lcm(parts, int(fits[0]) + 1) if len(fits) else MOST_PARTS + 1
    return parts
