"""What is compared with a measurement: one plan's predicted quantities, and no more.

The analytical engine is asked for the step time alone. That is the step time of
`simulate(plan, engine="analytical")`, without the spans and the report around it.
"""

from __future__ import annotations

from dataclasses import dataclass

from calibration.score_files.records import QUANTITIES
from simulator.api import simulate
from simulator.engines.graph import raise_deadlock
from simulator.engines.longest_path import longest_path
from simulator.job import Job, job_graph, prepare
from simulator.memory.peak import memory
from simulator.one_collective.plan import CollectivePlan
from simulator.one_collective.result import predict_collective
from simulator.plan import Plan
from simulator.results.result import Engine
from simulator.results.timeline import step_time
from simulator.results.utilization import (
    hardware_flop,
    model_flop,
    model_flop_utilization,
    peak_flop_rate,
)
from topologies.units import Bytes, Flop, Ratio, Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Of one plan.

    Fields:
        step_time_s: of one optimizer step [s].
        ideal_time_s: of its FLOP, recomputation included, at peak [s].
        model_flop: of a step, recomputation apart [FLOP].
        samples, tokens: of a step, over all replicas [1].
        devices: that take part [1].
        mfu: model FLOP/s over peak [1].
        memory_peak_bytes: on the fullest device, with context and libraries [B].
        memory_allocated_bytes, memory_reserved_bytes: as torch reports them [B].
        fits: whether that is no more than it has.
    """

    step_time_s: Seconds
    ideal_time_s: Seconds
    model_flop: Flop
    samples: int
    tokens: int
    devices: int
    mfu: Ratio
    memory_peak_bytes: Bytes
    memory_allocated_bytes: Bytes
    memory_reserved_bytes: Bytes
    fits: bool

    @property
    def quantities(self) -> tuple[str, ...]:
        """What can be asked for; a speedup takes two predictions."""
        return tuple(name for name in QUANTITIES if name != "collective_time_s")

    def quantity(self, name: str, step_time: Seconds | None = None) -> float:
        """Return the quantity that a score file calls `name`, in SI units.

        Args:
            name: one of `quantities`, but for a speedup.
            step_time: to work it out from; the predicted one if left out.
        """
        time = self.step_time_s if step_time is None else step_time
        values = {
            "step_time_s": time,
            "samples_per_s": self.samples / time,
            "tokens_per_s": self.tokens / time,
            "tokens_per_s_per_device": self.tokens / time / self.devices,
            "flop_per_s": self.model_flop / time,
            "mfu": self.mfu * self.step_time_s / time,
            "memory_peak_bytes": self.memory_peak_bytes,
            "memory_allocated_bytes": self.memory_allocated_bytes,
            "memory_reserved_bytes": self.memory_reserved_bytes,
        }
        return values[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectivePrediction:
    """Of one plan of a collective.

    Fields:
        collective_time_s: of all its parts [s].
        fits: that it runs; nothing is said about memory.
    """

    collective_time_s: Seconds
    fits: bool = True

    @property
    def quantities(self) -> tuple[str, ...]:
        """What can be asked for."""
        return ("collective_time_s",)

    def quantity(self, name: str) -> float:
        """Return the quantity that a score file calls `name`, in SI units."""
        return {"collective_time_s": self.collective_time_s}[name]


def predict(
    plan: Plan | CollectivePlan, engine: Engine = "analytical"
) -> Prediction | CollectivePrediction:
    """Return what is predicted for a plan of either kind.

    Raises:
        DeadlockError: the schedule cannot run.
    """
    if isinstance(plan, CollectivePlan):
        time = predict_collective(plan).time_s
        return CollectivePrediction(collective_time_s=time)
    return predict_training(plan, engine)


def predict_training(plan: Plan, engine: Engine = "analytical") -> Prediction:
    """Return what is predicted for `plan`.

    Raises:
        DeadlockError: the schedule cannot run.
    """
    if engine == "analytical":
        job = prepare(plan)
        time = analytical_step_time(job)
    else:
        result = simulate(plan, engine=engine)
        job, time = result.job, result.step_time_s
    parts, _ = memory(job)
    return Prediction(
        step_time_s=time,
        ideal_time_s=hardware_flop(job) / peak_flop_rate(job),
        model_flop=model_flop(job),
        samples=plan.batch.global_,
        tokens=plan.batch.global_ * job.model.tokens_per_sample,
        devices=plan.world_size,
        mfu=model_flop_utilization(job, time),
        memory_peak_bytes=parts.total,
        memory_allocated_bytes=parts.allocated,
        memory_reserved_bytes=parts.reserved,
        fits=parts.total <= job.cluster.device.memory,
    )


def analytical_step_time(job: Job) -> Seconds:
    """Return the end of the longest path through a job.

    Raises:
        DeadlockError: the schedule cannot run.
    """
    times = longest_path(job_graph(job))
    if min(times.end) < 0:
        raise_deadlock(job.workload, times.end)
    return step_time(job, times)
