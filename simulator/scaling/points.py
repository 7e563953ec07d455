"""One point of a scaling curve: what was set, and what was predicted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isclose
from typing import Any, Literal

from simulator.plan import Plan
from simulator.results.metrics import Breakdown
from simulator.results.result import Result, Status
from simulator.results.utilization import model_flop
from topologies.units import Bytes, Flop, FlopPerSecond, PerSecond, Ratio, Seconds

PointStatus = Status | Literal["invalid", "infeasible"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What is kept of a prediction.

    Fields:
        devices: that take part [1].
        step_time_s: of one optimizer step [s].
        interval_s: where the measured time would lie in nine of ten cases [s].
        samples_per_s: throughput of the whole job.
        tokens_per_s: the same in tokens; None where samples have none.
        sample_flop: that the model needs for a sample, forward and backward [FLOP].
        mfu: model FLOP/s over peak [1].
        breakdown: parts of the step, averaged over devices.
        memory_peak_bytes: on the fullest device [B].
        memory_capacity_bytes: of a device [B].
    """

    devices: int
    step_time_s: Seconds
    interval_s: tuple[Seconds, Seconds]
    samples_per_s: PerSecond
    tokens_per_s: PerSecond | None
    sample_flop: Flop
    mfu: Ratio
    breakdown: Breakdown
    memory_peak_bytes: Bytes
    memory_capacity_bytes: Bytes

    @property
    def flop_per_s(self) -> FlopPerSecond:
        """Model FLOP of the whole job in a second, which unlike models share."""
        return self.samples_per_s * self.sample_flop

    def share(self, part: str) -> Ratio:
        """Return how much of the step a part takes, such as `bubble_s` [1]."""
        seconds: Seconds = getattr(self.breakdown, part)
        return seconds / self.step_time_s

    def device_seconds_per_sample(self, part: str) -> Seconds:
        """Return what a part costs: N · seconds / B, constant in perfect scaling."""
        return self.devices * self.share(part) / self.samples_per_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One combination of values.

    Fields:
        settings: the value of each key that varies.
        devices: in the cluster; None where the settings do not say [1].
        plan: what was predicted; None if the settings make no plan.
        status: `completed`, `out_of_memory` or `deadlock`, as of a result; `invalid`
            if the settings make no plan, `infeasible` if that cannot run otherwise.
        reason: why there is no prediction; empty if there is one.
        measures: the prediction; under `out_of_memory`, what it would be if it fitted.
    """

    settings: Mapping[str, Any]
    devices: int | None
    plan: Plan | None
    status: PointStatus
    reason: str = ""
    measures: Measures | None = None

    @property
    def is_feasible(self) -> bool:
        """Whether it can run: it is valid and fits in memory."""
        return self.status == "completed"


def measures_of(result: Result) -> Measures:
    """Return what is kept of `result`; its spans are not."""
    has_tokens = result.job.model.tokens_per_sample > 1
    return Measures(
        devices=result.world_size,
        step_time_s=result.step_time_s,
        interval_s=result.interval_s,
        samples_per_s=result.samples_per_s,
        tokens_per_s=result.tokens_per_s if has_tokens else None,
        sample_flop=model_flop(result.job) / result.job.plan.batch.global_,
        mfu=result.mfu,
        breakdown=result.breakdown,
        memory_peak_bytes=result.memory_peak_bytes,
        memory_capacity_bytes=result.job.cluster.device.memory,
    )


def same_work(one: Measures, other: Measures) -> bool:
    """Return whether a sample costs as many FLOP, so that samples/s compare."""
    return isclose(one.sample_flop, other.sample_flop)  # but for rounding


def are_alike(points: Iterable[Point]) -> bool:
    """Return whether samples cost as much in all points that can run."""
    found = [p.measures for p in points if p.measures and p.is_feasible]
    return all(same_work(found[0], other) for other in found[1:])


def short_names(keys: tuple[str, ...]) -> dict[str, str]:
    """Return the last part of each dotted key, or all of it where two would agree.

    >>> short_names(("cluster.nodes", "batch.micro"))
    {'cluster.nodes': 'nodes', 'batch.micro': 'micro'}
    """
    last = [key.rpartition(".")[2] for key in keys]
    return {
        key: name if last.count(name) == 1 else key
        for key, name in zip(keys, last, strict=True)
    }


def described(settings: Mapping[str, Any]) -> str:
    """Return settings as people say them: `nodes = 8, micro = 2`."""
    names = short_names(tuple(settings))
    return ", ".join(f"{names[key]} = {value}" for key, value in settings.items())


def counted(devices: int) -> str:
    """Return `1 device` or `1,024 devices`."""
    return f"{devices:,} device{'s' * (devices != 1)}"
