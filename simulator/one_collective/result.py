"""How long one collective takes, by which algorithm and protocol: the answer.

Where the plan names a graph, its links are shared (`network.py`).

Limits: without a graph, idle, equal links on non-blocking switches; nothing else runs.
The time is the collective's own, without what the host needs to issue it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

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
from topologies.profile_file import load_profile
from topologies.units import (
    Bytes,
    BytesPerSecond,
    Count,
    Ratio,
    Seconds,
    format_quantity,
)

if TYPE_CHECKING:
    from simulator.one_collective.network import CollectiveNetwork


_EXACT = {True: "exact", False: "approximate"}


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


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectiveResult:
    """A predicted collective.

    Fields:
        plan: as written.
        profile: that priced it.
        parts: in the order in which they run.
        network: what they do to the links of a graph; None on switches.
    """

    plan: CollectivePlan
    profile: Profile
    parts: tuple[CollectivePart, ...]
    network: CollectiveNetwork | None = None

    @property
    def time_s(self) -> Seconds:
        """Time of all parts [s]."""
        return sum(part.time_s for part in self.parts)

    @property
    def algbw(self) -> BytesPerSecond:
        """Algorithm bandwidth, size over time [B/s]; zero if it takes no time."""
        time = self.time_s
        return self.plan.collective.size / time if time else 0.0

    @property
    def busbw(self) -> BytesPerSecond:
        """Bus bandwidth as nccl-tests defines it [B/s]."""
        ranks = self.plan.num_ranks
        return self.algbw * sum(bus_factor(p.pattern, ranks) for p in self.parts)

    def to_json(self) -> dict[str, Any]:
        """Return plain data in SI units."""
        return {
            "collective_time_s": self.time_s,
            "algbw_bytes_per_s": self.algbw,
            "busbw_bytes_per_s": self.busbw,
            "size_bytes": self.plan.collective.size,
            "ranks": self.plan.num_ranks,
            "parts": [asdict(part) for part in self.parts],
            **({"network": self.network.to_json(self.time_s)} if self.network else {}),
            "profile": self.profile.name,
        }


def bus_factor(pattern: Pattern, num_ranks: Count) -> Ratio:
    """Return bus bandwidth over algorithm bandwidth.

    All-reduce 2 (n - 1) / n; all-gather, reduce-scatter, all-to-all, gather and scatter
    (n - 1) / n; others 1.

    Source: nccl-tests doc/PERFORMANCE.md.

    >>> bus_factor("all-reduce", 8)
    1.75
    """
    once = (num_ranks - 1) / num_ranks
    if pattern == "all-reduce":
        return 2 * once
    shared = {"all-gather", "reduce-scatter", "all-to-all", "gather", "scatter"}
    return once if pattern in shared else 1.0


def predict_collective(
    plan: CollectivePlan, profile: Profile | None = None, *, seed: int = 0
) -> CollectiveResult:
    """Return the prediction of a collective.

    Args:
        plan: what runs, and where.
        profile: constants to price with; the plan's own if left out.
        seed: of hashed routes.

    Raises:
        PlanError: the protocol does not serve the algorithm.
        Infeasible: failed links cut the ranks apart, or switches cannot add.
    """
    if profile is None:
        cluster = plan.build_cluster()
        profile = load_profile(plan.cluster.profile or cluster.device.profile)
    if plan.cluster.has_graph:
        from simulator.one_collective.network import run  # noqa: PLC0415 - NumPy

        ran, network = run(plan, profile, seed)
        return CollectiveResult(plan=plan, profile=profile, parts=ran, network=network)
    if plan.num_ranks == 1:
        return CollectiveResult(plan=plan, profile=profile, parts=alone(plan, profile))
    options = options_of(plan.collective, plan.cluster)
    found = (
        _part(plan, profile, pattern, algorithm, options)
        for pattern, algorithm in parts(plan.collective)
    )
    return CollectiveResult(plan=plan, profile=profile, parts=tuple(found))


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


def collective_report(result: CollectiveResult) -> str:
    """Return the report a person reads."""
    plan = result.plan
    cluster, section = plan.build_cluster(), plan.collective
    size = format_quantity(section.size, "B")
    nodes = f"{cluster.num_nodes} x {cluster.devices_per_node} {cluster.device.name}"
    calls = f", in {section.calls} calls" if section.calls > 1 else ""
    lines = [
        plan.title or section.pattern,
        f"  {section.pattern} of {size}{calls}, {plan.num_ranks} ranks on {nodes}",
        "",
        f"  time   {format_quantity(result.time_s, 's')}",
        f"  algbw  {format_quantity(result.algbw, 'B/s')}",
        f"  busbw  {format_quantity(result.busbw, 'B/s')}",
        "",
    ]
    for part in result.parts:
        sent = format_quantity(part.wire_bytes, "B")
        time = format_quantity(part.time_s, "s")
        lines.append(
            f"  {part.pattern} by {part.algorithm}, protocol {part.protocol}:"
            f" {time}, {part.steps:g} steps, {sent} on the wire"
            + f"; {part.form}, {_EXACT[part.is_exact]}"
            * bool(part.form)
        )
    if result.network is not None:
        lines += ["", *(f"  {line}" for line in result.network.lines(result.time_s))]
    lines += ["", f"  profile '{result.profile.name}': {result.profile.basis}"]
    return "\n".join(lines) + "\n"
