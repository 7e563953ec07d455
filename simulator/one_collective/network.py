"""One collective on a graph: which algorithm is fastest there, and what links carry.

Loaded only for plans that name a graph; all of this is NumPy.

Limits: of a link with several protocols the first is used. `auto` compares algorithms
on the idle network; what it leaves out as too large is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from simulator.collectives.algorithm import Algorithm, Pattern
from simulator.errors import Infeasible
from simulator.located.carrier import Carrier
from simulator.located.hosts import Hosts
from simulator.located.locate import own_place
from simulator.located.mesh import Group, Mesh
from simulator.located.rings import Rings
from simulator.mesh import Degrees
from simulator.network import Traffic
from simulator.one_collective.checks import options_of, parts
from simulator.one_collective.parts import CollectivePart, alone
from simulator.one_collective.plan import CollectivePlan
from simulator.pricing.choice import AUTO, candidates, serves
from simulator.reporting.network import network_lines
from simulator.results.links import approximation, busiest_of, network_json
from topologies.graphs import CutError, GraphError
from topologies.graphs.arrays import Floats
from topologies.profile import Profile
from topologies.units import Bytes, Seconds

MAX_COMPARED = 100_000  # different messages; seconds each


class _Way(NamedTuple):
    """An algorithm, what it does to the network, and what it was not compared with."""

    row: Algorithm
    traffic: Traffic
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CollectiveNetwork:
    """What a collective does to a network.

    Fields:
        carrier: that placed it.
        link_bytes: of every link, in the order of the router [B].
        approximate: what is not exact, and why.
        left_out: algorithms that were too large to compare.
    """

    carrier: Carrier
    link_bytes: Floats
    approximate: tuple[str, ...]
    left_out: tuple[str, ...]

    def utilization(self, time: Seconds) -> Floats:
        """Return bytes ÷ (bandwidth · time) of every link [1].

        Args:
            time: of the collective [s].
        """
        width = self.carrier.router.bandwidth * (time or np.inf)
        return np.asarray(self.link_bytes / width)

    def to_json(self, time: Seconds) -> dict[str, Any]:
        """Return plain data in SI units.

        Args:
            time: of the collective [s].
        """
        links = busiest_of(self.carrier.router, self.link_bytes, time, 8)
        return {
            "link_bytes": float(self.link_bytes.sum()),
            **network_json(self.carrier, list(self.approximate), links),
            "left_out": list(self.left_out),
        }

    def lines(self, time: Seconds) -> Iterator[str]:
        """Yield what a report says of it.

        Args:
            time: of the collective [s].
        """
        links = busiest_of(self.carrier.router, self.link_bytes, time, 3)
        yield from network_lines(self.carrier, list(self.approximate), links, "time")
        if self.left_out:
            most = f"more than {MAX_COMPARED} different messages"
            yield f"  not compared, for {most}: {', '.join(self.left_out)}"


def run(
    plan: CollectivePlan, profile: Profile, seed: int = 0
) -> tuple[tuple[CollectivePart, ...], CollectiveNetwork]:
    """Return the parts of a collective, and what they do to the network.

    Args:
        plan: what runs, and where; it names a graph.
        profile: constants to price with.
        seed: of hashed routes.

    Raises:
        Infeasible: failed links cut the ranks apart, or switches cannot add.
    """
    carrier = _carrier(plan, profile, seed)
    carried = np.zeros(len(carrier.router.bandwidth))
    if plan.num_ranks == 1:
        network = CollectiveNetwork(
            carrier=carrier, link_bytes=carried, approximate=(), left_out=()
        )
        return alone(plan, profile), network
    calls, ranks = plan.collective.calls, tuple(range(plan.num_ranks))
    size = plan.collective.size / calls
    ways = [
        _fastest(carrier, pattern, algorithm, size, ranks, profile)
        for pattern, algorithm in parts(plan.collective)
    ]
    times = _times(plan, carrier, [way.traffic for way in ways])
    found = tuple(
        _part(plan, carrier, way, time) for way, time in zip(ways, times, strict=True)
    )
    for way in ways:
        carried += calls * way.traffic.bytes_on_links()
    approximate = (
        approximation(f"{way.row.pattern} by {way.row.name}", way.traffic)
        for way in ways
        if not way.traffic.is_exact
    )
    network = CollectiveNetwork(
        carrier=carrier,
        link_bytes=carried,
        approximate=tuple(approximate),
        left_out=tuple(dict.fromkeys(name for way in ways for name in way.left_out)),
    )
    return found, network


def _part(
    plan: CollectivePlan, carrier: Carrier, way: _Way, time: Seconds
) -> CollectivePart:
    """Return what is said of a pattern that took `time` in all."""
    calls, ranks = plan.collective.calls, tuple(range(plan.num_ranks))
    size, options = plan.collective.size / calls, carrier.options_of(ranks)
    return CollectivePart(
        pattern=way.row.pattern,
        algorithm=way.row.name,
        protocol=carrier.hosts.fit([ranks]).protocol,
        time_s=time,
        steps=calls * way.row.steps(len(ranks), size, options),
        wire_bytes=calls * way.row.wire_bytes(size, len(ranks), options),
        form=way.traffic.form,
        is_exact=way.traffic.is_exact,
    )


def _carrier(plan: CollectivePlan, profile: Profile, seed: int) -> Carrier:
    cluster = plan.build_cluster()
    router = own_place(plan.cluster, cluster, profile, seed).router
    hosts = Hosts.of(cluster, profile)
    return Carrier(
        router=router,
        mesh=Mesh(Degrees(1, plan.num_ranks, 1)),
        hosts=hosts,
        rings=Rings(router=router, hosts=hosts, places=plan.collective.ring_order),
        algorithm=AUTO,
        options=options_of(plan.collective, plan.cluster),
    )


def _fastest(  # noqa: PLR0913, PLR0917 - what runs, where, and what is offered
    carrier: Carrier,
    pattern: Pattern,
    algorithm: str,
    size: Bytes,
    ranks: Group,
    profile: Profile,
) -> _Way:
    """Return the algorithm that is fastest on the idle network, and its traffic."""
    options, fit = carrier.options_of(ranks), carrier.hosts.fit([ranks])
    rows = [
        row
        for row in candidates(pattern, algorithm, profile.algorithms)
        if not row.allows(len(ranks), options)
    ]
    if algorithm == AUTO:
        rows = [row for row in rows if serves(fit.algorithms, row)] or rows
    found: list[_Way] = []
    for row in rows:
        try:
            traffic = carrier.placed(pattern, size, (ranks,), row.name)
        except CutError as error:
            raise Infeasible(str(error)) from None
        except GraphError as error:
            if row is rows[-1] and not found:
                raise Infeasible(str(error)) from None
        else:
            found.append(_Way(row, traffic))
    few = [way for way in found if way.traffic.rounds.num_different <= MAX_COMPARED]
    if not few:
        few = [min(found, key=lambda way: way.traffic.rounds.num_different)]
    best = min(few, key=lambda way: way.traffic.isolated_time()) if few[1:] else few[0]
    return best._replace(left_out=tuple(w.row.name for w in found if w not in few))


def _times(plan: CollectivePlan, carrier: Carrier, row: list[Traffic]) -> list[Seconds]:
    """Return how long each part takes, all its calls together [s]."""
    calls, background = plan.collective.calls, plan.cluster.background
    if not background:
        return [calls * traffic.isolated_time() for traffic in row]
    from simulator.located.contention import simulate_row  # noqa: PLC0415 - SimPy

    every = [traffic for traffic in row for _ in range(calls)]
    per_node = plan.cluster.devices_per_node
    end = simulate_row(every, background, carrier.router, per_node)
    return [
        after - before for before, after in pairwise([0.0, *end[calls - 1 :: calls]])
    ]
