"""Many profiles on one lowered plan: what a fit does some hundred times.

Lowering, and the graph of what waits for what, depend on the plan alone. They are made
once; a new profile then only changes prices. Constants may be arrays, one entry a
profile: bodies are priced for all of them in one pass, and the longest path is run
once each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from models.work import Work
from simulator.engines.graph import Graph, build_graph, make_pace
from simulator.engines.longest_path import longest_path
from simulator.job import Job, make_pricer, prepare
from simulator.plan import Plan
from simulator.pricing.price import Price
from simulator.pricing.pricer import Pricer
from simulator.workload import Body
from topologies.profile import Profile
from topologies.profile_file import LINK_UNITS, UNITS
from topologies.units import FlopPerSecond, Ratio, Seconds

Numbers = NDArray[np.float64]


Kernels = dict[tuple[str, FlopPerSecond, Work], Seconds]
"""Device times under one profile, by device, peak and work."""


@dataclass(frozen=True, slots=True)
class _RememberingPricer(Pricer):
    """A pricer that asks for the time of equal kernels once."""

    known: Kernels = field(default_factory=dict)

    @override
    def formula_time(self, work: Work) -> Seconds:
        """Return the device time of a kernel by its formula."""
        peak = self.narrow_peak if work.is_narrow else self.peak
        key = (self.cluster.device.name, peak, work)
        time = self.known.get(key)
        if time is None:
            time = self.known[key] = Pricer.formula_time(self, work)
        return time


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """A lowered plan without prices.

    Fields:
        job: it came from; its prices are of no interest.
        graph: dependencies; its durations are replaced.
        bodies: the distinct ones.
        body_of: index into `bodies` of each op.
    """

    job: Job
    graph: Graph
    bodies: tuple[Body, ...]
    body_of: tuple[int, ...]

    def step_times(
        self, profile: Profile, count: int = 1, kernels: Kernels | None = None
    ) -> Numbers:
        """Return the step time under each of `count` profiles [s].

        Args:
            profile: constants, each a number or an array of `count`.
            count: how many profiles it stands for.
            kernels: what other plans have found out under the same profile.
        """
        plain = make_pricer(self.job.plan, self.job.cluster, profile)
        pricer = _RememberingPricer(
            cluster=plain.cluster,
            profile=plain.profile,
            peak=plain.peak,
            degrees=plain.degrees,
            algorithm=plain.algorithm,
            narrow_peak=plain.narrow_peak,
            servers=plain.servers,
            pace=plain.pace,
            kernels=plain.kernels,
            known={} if kernels is None else kernels,
        )
        prices = [pricer.body(body) for body in self.bodies]
        parts = [
            np.array(
                [np.broadcast_to(getattr(p, part.name), count) for p in prices],
                dtype=float,
            ).T.tolist()
            for part in fields(Price)
        ]
        slowdowns = np.broadcast_to(profile.overlap_slowdown, count).tolist()
        return np.array(
            [
                self._end([Price(*each) for each in zip(*columns, strict=True)], kappa)
                for *columns, kappa in zip(*parts, slowdowns, strict=True)
            ]
        )

    def _end(self, prices: list[Price], slowdown: Ratio) -> Seconds:
        """Return the end of the longest path, given each distinct body's price."""
        each = [prices[body] for body in self.body_of]
        graph = replace(
            self.graph,
            busy=[price.busy for price in each],
            issued=[price.issued for price in each],
            host=[price.host for price in each],
            pace=make_pace(self.job.workload, each, slowdown),
        )
        return max(longest_path(graph).end)


def structure(plan: Plan, profile: Profile | None = None) -> Structure:
    """Return what does not change while a plan is priced again and again.

    Bodies that do the same, such as those of equal pipeline stages, become one.
    """
    job = prepare(plan, profile=profile)
    index: dict[tuple[Any, ...], int] = {}
    bodies: list[Body] = []
    numbers: dict[Body, int] = {}
    for body in dict.fromkeys(op.body for op in job.workload.ops):
        key = (body.phase, body.items)
        if key not in index:
            index[key] = len(bodies)
            bodies.append(body)
        numbers[body] = index[key]
    return Structure(
        job,
        build_graph(job.workload, job.prices),
        tuple(bodies),
        tuple(numbers[op.body] for op in job.workload.ops),
    )


def unit_of(name: str) -> str:
    """Return the unit of a constant: `host_forward`, or `links.nvlink-3.hop`.

    Raises:
        KeyError: profiles have no such constant.
    """
    kind, _, rest = name.partition(".")
    return LINK_UNITS[rest.rpartition(".")[2]] if kind == "links" else UNITS[name]


def with_constants(profile: Profile, values: Mapping[str, Any]) -> Profile:
    """Return a profile in which the constants in `values`, by name, are replaced."""
    own = {name: value for name, value in values.items() if "." not in name}
    links = dict(profile.links)
    for name, value in values.items():
        if "." in name:
            link, _, constant = name.removeprefix("links.").rpartition(".")
            links[link] = replace(links[link], **{constant: value})
    return replace(profile, links=links, **own)
