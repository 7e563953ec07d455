"""The one result that every engine gives, and its JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from typing_extensions import override

from simulator.job import Job
from simulator.memory.peak import Memory
from simulator.results.messages import Messages, step_messages
from simulator.results.metrics import Breakdown, LedgerRow
from simulator.results.timeline import Timeline
from topologies.units import Bytes, PerSecond, Ratio, Seconds, format_quantity

if TYPE_CHECKING:
    from topologies.graphs.arrays import Floats

Status = Literal["completed", "out_of_memory", "deadlock"]
Engine = Literal["analytical", "event"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """A prediction of one training step.

    Fields:
        status: `out_of_memory` when the plan does not fit its devices; the time is
            then what it would be if it did.
        engine: which engine predicted.
        step_time_s: time of one optimizer step [s].
        samples_per_s, tokens_per_s: throughput of the whole job.
        mfu: model FLOP/s over peak; its convention is `job.model.attention` [1].
        hfu: the same with the FLOP that recomputation repeats [1].
        world_size: devices [1].
        memory_peak_bytes: on the fullest device, with context and libraries [B].
        memory: its parts.
        memory_rank: pipeline rank of the fullest device.
        memory_when: the moment at which it is fullest.
        breakdown: parts of the step, which add up to it.
        ledger: what is sent, by pattern and axis.
        interval_s: where the measured time would lie in nine of ten cases [s].
        is_interval_measured: whether that rests on measurements of such networks.
        provenance: versions, seed, profile and plan hash.
        job: the priced workload behind it.
        timeline: its spans.
    """

    status: Status
    engine: Engine
    step_time_s: Seconds
    samples_per_s: PerSecond
    tokens_per_s: PerSecond
    mfu: Ratio
    hfu: Ratio
    world_size: int
    memory_peak_bytes: Bytes
    memory: Memory
    memory_rank: int
    memory_when: str
    breakdown: Breakdown
    ledger: tuple[LedgerRow, ...]
    interval_s: tuple[Seconds, Seconds]
    is_interval_measured: bool
    provenance: dict[str, str | int]
    job: Job
    timeline: Timeline

    @property
    def link_bytes(self) -> Floats | None:
        """Bytes that the step puts on every link of its graph; None without one [B]."""
        if self.job.located is None:
            return None
        from simulator.results.links import link_bytes  # noqa: PLC0415 - NumPy

        return link_bytes(self)

    @property
    def messages(self) -> tuple[list[Messages], Seconds]:
        """Messages of the step by kind, and what kernels lose beside them [s]."""
        return step_messages(self.job, self.timeline)

    def to_json(self) -> dict[str, Any]:
        """Return plain data, every number in SI base units."""
        network = {}
        if self.job.located is not None:
            from simulator.results.links import to_json  # noqa: PLC0415 - NumPy

            network = {"network": to_json(self)}
        return {
            "schema_version": SCHEMA_VERSION,
            "status": self.status,
            "engine": self.engine,
            "step_time_s": self.step_time_s,
            "samples_per_s": self.samples_per_s,
            "tokens_per_s": self.tokens_per_s,
            "mfu": self.mfu,
            "hfu": self.hfu,
            "world_size": self.world_size,
            "memory_peak_bytes": self.memory_peak_bytes,
            "memory_allocated_bytes": self.memory.allocated,
            "memory_reserved_bytes": self.memory.reserved,
            "memory": asdict(self.memory),
            "memory_rank": self.memory_rank,
            "memory_when": self.memory_when,
            **self._remedy(),
            "breakdown": asdict(self.breakdown),
            "ledger": [asdict(row) for row in self.ledger],
            "staleness": {"mean": 0.0, "p50": 0.0, "p99": 0.0, "max": 0.0},
            "interval_s": list(self.interval_s),
            "interval_basis": "measured" if self.is_interval_measured else "assumed",
            "messages": [row.to_json() for row in self.messages[0]],
            "kernels_slowed_s": self.messages[1],
            **network,
            "provenance": self.provenance,
        }

    def _remedy(self) -> dict[str, Any]:
        """Return the nearest change that would fit, where the plan does not."""
        if self.status != "out_of_memory":
            return {}
        from simulator.memory.remedy import remedy  # noqa: PLC0415 - only where it is asked

        found = remedy(self.job.plan)
        if found is None:
            return {"remedy": None}
        return {"remedy": {"change": found[0], "memory_peak_bytes": found[1]}}

    @override
    def __repr__(self) -> str:
        """Return one line; the spans behind it are too many to print."""
        time = format_quantity(self.step_time_s, "s")
        return f"<Result {self.status}: {time} a step, engine {self.engine}>"

    def _repr_html_(self) -> str:
        """Return the report for a notebook."""
        from html import escape  # noqa: PLC0415 - only in notebooks

        from simulator.reporting.report import text_report  # noqa: PLC0415 - same

        return f"<pre>{escape(text_report(self))}</pre>"
