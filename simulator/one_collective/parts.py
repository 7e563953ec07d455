"""The patterns of one collective, each by the fastest algorithm and protocol.

Limits: idle, equal links on non-blocking switches; nothing else runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator.collectives.algorithm import Pattern
from simulator.collectives.options import Options
from simulator.collectives.table import TABLE
from simulator.errors import Fault, PlanError
from simulator.mesh import Degrees
from simulator.one_collective.checks import options_of, parts
from simulator.one_collective.plan import CollectivePlan
from simulator.pricing.choice import Allowed, candidates, choose
from simulator.pricing.placement import group
from topologies.profile import Profile
from topologies.units import Bytes, Count, Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectivePart:
    """One pattern of those that run in a row.

    Fields:
        pattern, algorithm, protocol: what runs, and how.
        time_s: of all its calls [s].
        steps: rounds of sends, of all calls [1].
        wire_bytes: of all sends [B].
        form: how it was run on a graph; empty on switches.
        is_exact: whether it ends, alone, when message by message would.
    """

    pattern: Pattern
    algorithm: str
    protocol: str
    time_s: Seconds
    steps: Count
    wire_bytes: Bytes
    form: str = ""
    is_exact: bool = True


def on_switches(plan: CollectivePlan, profile: Profile) -> tuple[CollectivePart, ...]:
    """Return the parts of a collective whose plan names no graph.

    Args:
        plan: what runs, and where.
        profile: constants to price with.

    Raises:
        PlanError: the protocol does not serve the algorithm.
    """
    if plan.num_ranks == 1:
        return alone(plan, profile)
    options = options_of(plan.collective, plan.cluster)
    return tuple(
        _part(plan, profile, pattern, algorithm, options)
        for pattern, algorithm in parts(plan.collective)
    )


def alone(plan: CollectivePlan, profile: Profile) -> tuple[CollectivePart, ...]:
    """Return the parts of a collective of one rank, which has nobody to send to.

    Args:
        plan: what runs, on one rank.
        profile: that names the algorithms on offer.
    """
    options = options_of(plan.collective, plan.cluster)
    found = []
    for pattern, algorithm in parts(plan.collective):
        rows = candidates(pattern, algorithm, profile.algorithms)
        possible = [row for row in rows if not row.allows(1, options)]
        part = CollectivePart(
            pattern=pattern,
            algorithm=(possible or rows)[0].name,
            protocol=plan.collective.protocol or "simple",
            time_s=0.0,
            steps=0,
            wire_bytes=0.0,
        )
        found.append(part)
    return tuple(found)


def _part(
    plan: CollectivePlan,
    profile: Profile,
    pattern: Pattern,
    algorithm: str,
    options: Options,
) -> CollectivePart:
    calls, ranks = plan.collective.calls, plan.num_ranks
    size = plan.collective.size / calls
    members = group("data", Degrees(1, ranks, 1), plan.build_cluster(), profile)
    allowed = Allowed(
        algorithm, plan.collective.protocol or "", profile.algorithms, options
    )
    try:
        chosen = choose(pattern, size, members, allowed)
    except ValueError as error:
        remedy = "leave it out, and the fastest is taken"
        raise PlanError([Fault("collective.protocol", str(error), remedy)]) from None
    row = TABLE[pattern, chosen.algorithm]
    return CollectivePart(
        pattern=pattern,
        algorithm=chosen.algorithm,
        protocol=chosen.protocol,
        time_s=calls * chosen.time,
        steps=calls * chosen.steps,
        wire_bytes=calls * row.wire_bytes(size, ranks, options),
    )
