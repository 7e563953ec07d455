"""How long one collective takes: the answer.

Where the plan names a graph, its links are shared (`network.py`); else `parts.py` says.
The time is the collective's own, without what the host needs to issue it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from simulator.collectives.algorithm import Pattern
from simulator.one_collective.parts import CollectivePart, on_switches
from simulator.one_collective.plan import CollectivePlan
from topologies.profile import Profile
from topologies.profile_file import load_profile
from topologies.units import (
    BytesPerSecond,
    Count,
    Ratio,
    Seconds,
)

if TYPE_CHECKING:
    from simulator.one_collective.network import CollectiveNetwork


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
    ran = on_switches(plan, profile)
    return CollectiveResult(plan=plan, profile=profile, parts=ran)
