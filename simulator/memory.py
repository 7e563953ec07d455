"""What has to fit: the parts of a device's memory at its fullest moment.

Weights, gradients and optimizer state are there all the time. Activations are counted
by walking the rank's schedule: a forward keeps what its layers' backward needs, a
backward frees it; while a backward runs under recomputation, the layer being
recomputed is there in full, or the whole stage, where that is computed again early.
Of a backward in two parts, the first keeps what the second needs: inputs of weighted
operators and the gradients of their outputs.

Limits: no allocator fragmentation; messages are taken to need most at the moment when
activations do.

Source: Rajbhandari et al., arXiv:1910.02054, section 3 (states); Korthikanti et al.,
arXiv:2205.05198, section 4 (activations).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from simulator.job import Job
from simulator.lowering.kept import kept_bytes, kept_for_weights
from simulator.lowering.recomputed import is_first_kept
from simulator.lowering.schedules.actions import Action, Row
from simulator.lowering.sharding.rule import sharding_of
from simulator.lowering.sharding.units import parts_of
from simulator.lowering.sharding.visits import most_held, visits_of
from simulator.lowering.staged import LoweredStage, make_share, stages_of
from simulator.lowering.states import held_states
from simulator.plan import Plan
from simulator.plans.layer_choices import recompute_of
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
    mine = stages_of(job.stages, rank)
    states = held_states(plan, mine)
    return Memory(
        weights=states.weights,
        gradients=states.gradients,
        optimizer=states.optimizer,
        activations=_peak_activations(job, mine, row),
        buffers=_buffers(plan, mine, row),
        overhead=job.profile.device_overhead,
    )


def _buffers(plan: Plan, mine: tuple[LoweredStage, ...], row: Row) -> Bytes:
    """Return what messages need beside the states [B].

    Two buckets where replicas hold everything and gradients overlap. ZeRO-1 sums
    gradients where they are kept.
    """
    rule = sharding_of(plan)
    if rule is None:
        is_bucketed = plan.synchronization.overlap and plan.parallelism.replicas > 1
        return 2 * plan.synchronization.bucket if is_bucketed else 0.0
    visits = visits_of(rule, row, parts_of(plan, rule, mine))
    return most_held(rule, visits)


def _peak_activations(
    job: Job, mine: tuple[LoweredStage, ...], row: tuple[Action, ...]
) -> Bytes:
    """Return the most activation bytes that are there at once [B]."""
    share = make_share(job.plan)
    mesh = job.plan.parallelism
    kept = {
        low.stage.index: sum(
            kept_bytes(layer, share, recompute_of(mesh, layer))
            for layer in low.stage.layers
        )
        for low in mine
    }
    whole = {
        low.stage.index: [
            kept_bytes(layer, share, "none") for layer in low.stage.layers
        ]
        for low in mine
    }
    full = {
        low.stage.index: max(
            size - kept_bytes(layer, share, recompute_of(mesh, layer))
            for size, layer in zip(
                whole[low.stage.index], low.stage.layers, strict=True
            )
        )
        for low in mine
    }
    if mesh.recompute_early:
        kept = {stage: _input_bytes(job, stage) for stage in whole}
        full = {stage: sum(sizes) for stage, sizes in whole.items()}
    portion = {
        low.stage.index: low.portions.kept if low.portions else 0.0 for low in mine
    }
    left = {
        low.stage.index: sum(
            kept_for_weights(layer, share) for layer in low.stage.layers
        )
        for low in mine
    }
    now = peak = 0.0
    never_dropped = 0 if is_first_kept(job.plan) else None
    for stage, kind, microbatch in row:
        if microbatch == never_dropped:
            size = sum(whole[stage])
            now += size if kind == "F" else -size if kind in {"B", "I"} else 0.0
            peak = max(peak, now)
            continue
        if kind in {"B", "I"}:
            peak = max(peak, now + full[stage])
        change = {"F": kept[stage], "B": -kept[stage], "W": -left[stage]}
        now += change.get(kind, left[stage] - kept[stage])
        peak = max(peak, now + (portion[stage] if kind == "F" else 0.0))
    return peak


def _input_bytes(job: Job, stage: int) -> Bytes:
    """Return the input of a stage of one micro-batch; samples are not counted [B]."""
    if stage == 0:
        return 0.0
    share, last = make_share(job.plan), job.stages[stage - 1].stage.layers[-1]
    return share.element * share.samples * last.output_elements / share.sequence
