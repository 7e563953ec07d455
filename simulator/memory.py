"""What has to fit: the parts of a device's memory at its fullest moment.

Weights, gradients and optimizer state are there all the time. Activations are counted
by walking the rank's schedule: a forward keeps what its layers' backward needs, a
backward frees it; while a backward runs under recomputation, the layer being
recomputed is there in full.

Limits: no allocator fragmentation; communication buffers are two buckets.

Source: Rajbhandari et al., arXiv:1910.02054, section 3 (states); Korthikanti et al.,
arXiv:2205.05198, section 4 (activations).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from models.model import Layer
from models.work import Share
from simulator.job import Job
from simulator.lowering.formats import element_bytes, optimizer_bytes
from simulator.lowering.lower import rows_of
from simulator.lowering.schedules import Action
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
    rows = rows_of(job.plan)
    each = [_rank_memory(job, rank, row) for rank, row in enumerate(rows)]
    fullest = max(range(len(each)), key=lambda rank: each[rank].total)
    return each[fullest], fullest


def _rank_memory(job: Job, rank: int, row: tuple[Action, ...]) -> Memory:
    plan = job.plan
    training = plan.training
    mine = stages_of(job.stages, rank, plan.parallelism.pipeline)
    parameters = sum(stage.parameters for stage in mine)
    is_bucketed = plan.synchronization.overlap and plan.parallelism.data > 1
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
    now = peak = 0.0
    for action in row:
        if action.kind == "F":
            now += kept[action.stage]
        else:
            peak = max(peak, now + full[action.stage])
            now -= kept[action.stage]
        peak = max(peak, now)
    return peak


def kept_bytes(layer: Layer, share: Share, recompute: str) -> Bytes:
    """Return what a layer keeps from forward to backward, per micro-batch [B].

    Under full recomputation a block keeps its input only, which has the size of its
    output.
    """
    if layer.role == "block" and recompute == "full":
        return share.element * share.samples * layer.output_elements / share.sequence
    is_dropping = layer.role == "block" and recompute == "selective"
    return sum(
        operator.saved_bytes(share)
        for operator in layer.operators
        if not (is_dropping and operator.is_core_attention)
    )
