"""What has to fit: the parts of a device's memory at its fullest moment.

Weights, gradients and optimizer state are there all the time. Activations are counted
by walking the rank's schedule: a forward keeps what its layers' backward needs, a
backward frees it; while a backward runs under recomputation, the layer being
recomputed is there in full. Of a backward in two parts, the first keeps what the
second needs: inputs of weighted operators and the gradients of their outputs.

Limits: no allocator fragmentation; communication buffers are two buckets.

Source: Rajbhandari et al., arXiv:1910.02054, section 3 (states); Korthikanti et al.,
arXiv:2205.05198, section 4 (activations).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from simulator.job import Job
from simulator.lowering.formats import element_bytes, optimizer_bytes
from simulator.lowering.kept import kept_bytes, kept_for_weights
from simulator.lowering.schedules.actions import Action
from simulator.lowering.staged import LoweredStage, make_share, stages_of
from topologies.units import Bytes


@dataclass(frozen=True, slots=True)
class Memory:
    """Parts of one device's memory [B each]."""

    weights: Bytes
    gradients: Bytes
    optimizer: Bytes
    activations: Bytes
    buffers: Bytes
    overhead: Bytes

    @property
    def total(self) -> Bytes:
        """Their sum [B]."""
        return float(sum(asdict(self).values()))


def memory(job: Job) -> tuple[Memory, int]:
    """Return the parts on the fullest device, and its pipeline rank."""
    each = [_rank_memory(job, rank, row) for rank, row in enumerate(job.rows)]
    fullest = max(range(len(each)), key=lambda rank: each[rank].total)
    return each[fullest], fullest


def _rank_memory(job: Job, rank: int, row: tuple[Action, ...]) -> Memory:
    plan = job.plan
    training = plan.training
    mine = stages_of(job.stages, rank)
    parameters = sum(stage.parameters for stage in mine)
    is_bucketed = plan.synchronization.overlap and plan.parallelism.replicas > 1
    return Memory(
        weights=element_bytes(training.precision) * parameters,
        gradients=element_bytes(training.gradient_precision) * parameters,
        optimizer=optimizer_bytes(training.optimizer, training.precision) * parameters,
        activations=_peak_activations(job, mine, row),
        buffers=2 * plan.synchronization.bucket if is_bucketed else 0.0,
        overhead=job.profile.device_overhead,
    )


def _peak_activations(
    job: Job, mine: tuple[LoweredStage, ...], row: tuple[Action, ...]
) -> Bytes:
    """Return the most activation bytes that are there at once [B]."""
    share = make_share(job.plan)
    recompute = job.plan.parallelism.recompute
    kept = {
        low.stage.index: sum(
            kept_bytes(layer, share, recompute) for layer in low.stage.layers
        )
        for low in mine
    }
    full = {
        low.stage.index: max(
            kept_bytes(layer, share, "none") - kept_bytes(layer, share, recompute)
            for layer in low.stage.layers
        )
        for low in mine
    }
    left = {
        low.stage.index: sum(
            kept_for_weights(layer, share) for layer in low.stage.layers
        )
        for low in mine
    }
    now = peak = 0.0
    for stage, kind, _ in row:
        if kind in {"B", "I"}:
            peak = max(peak, now + full[stage])
        change = {"F": kept[stage], "B": -kept[stage], "W": -left[stage]}
        now += change.get(kind, left[stage] - kept[stage])
        peak = max(peak, now)
    return peak
