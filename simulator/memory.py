"""What has to fit: the parts of a device's memory at its fullest moment, and when.

Weights, gradients and optimizer state are there all the time; the rest is followed
along each rank's schedule (`simulator.memories.walk`).

`Memory.total` is what has to fit: all tensors, what the allocator holds between them,
and the context with its libraries. `allocated` and `reserved` are what torch reports.

Limits: what the allocator holds beside tensors is a share of them, the same for all
plans of a platform. Buckets of gradients are two where replicas hold everything and
gradients overlap, as if each were copied to be sent.

Source: Rajbhandari et al., arXiv:1910.02054, section 3 (states); Korthikanti et al.,
arXiv:2205.05198, section 4 (activations).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from models.model import Layer
from simulator.convolutions.choice import workspace
from simulator.job import Arrangement
from simulator.lowering.formats import working_bytes
from simulator.lowering.schedules.actions import Kind, Row
from simulator.lowering.sharding.rule import sharding_of, updated_parameters
from simulator.lowering.sharding.units import parts_of
from simulator.lowering.sharding.visits import held_bytes, visits_of
from simulator.lowering.staged import LoweredStage, make_share, stages_of
from simulator.lowering.states import held_states
from simulator.memories.needs import Needs, layer_needs
from simulator.memories.parts import Memory, Peak
from simulator.memories.walk import Moment, Stretch, fullest
from simulator.plan import Plan
from simulator.plans.layer_choices import recompute_of
from topologies.units import Bytes

__all__ = ["Memory", "Peak", "memory", "peak"]

_WORDS: Mapping[Kind, str] = {
    "F": "forward",
    "B": "backward",
    "I": "backward for inputs",
    "W": "backward for weights",
}


def memory(job: Arrangement) -> tuple[Memory, int]:
    """Return the parts on the fullest device, and its pipeline rank."""
    found = peak(job)
    return found.parts, found.rank


def peak(job: Arrangement) -> Peak:
    """Return the parts on the fullest device, its pipeline rank, and the moment."""
    needs = plan_needs(job.plan, job.stages)
    workspaces = _workspaces(job)
    each = [_rank_peak(job, rank, needs, workspaces) for rank in range(len(job.rows))]
    return max(each, key=lambda found: found.parts.total)


def plan_needs(plan: Plan, stages: tuple[LoweredStage, ...]) -> dict[Layer, Needs]:
    """Return what each layer of a plan's stages takes for one micro-batch."""
    share, mesh = make_share(plan), plan.parallelism
    return {
        layer: layer_needs(
            layer,
            share,
            recompute_of(mesh, layer),
            loss_copies=plan.training.loss_copies,
            method=mesh.context_method,
        )
        for layer in {layer for low in stages for layer in low.stage.layers}
    }


def _rank_peak(
    job: Arrangement,
    rank: int,
    needs: Mapping[Layer, Needs],
    workspaces: Mapping[tuple[Layer, Kind], Bytes],
) -> Peak:
    plan = job.plan
    mine = stages_of(job.stages, rank)
    parameters = sum(low.parameters for low in mine)
    of_experts = sum(low.expert_parameters for low in mine)
    states = held_states(plan, parameters, of_experts)
    layers = {low.stage.index: low.stage.layers for low in mine}
    stretches = _stretches(plan, mine, job.rows[rank])
    moment = fullest(stretches, layers, needs, workspaces)
    updated = updated_parameters(plan, parameters, of_experts)
    step = Moment(working=working_bytes(plan.training.optimizer) * updated)
    if step.total > moment.total:
        moment = step
    allocated = sum(states) + moment.total
    parts = Memory(
        weights=states.weights,
        gradients=states.gradients,
        optimizer=states.optimizer,
        activations=moment.activations,
        working=moment.working,
        workspace=moment.workspace,
        buffers=moment.buffers,
        allocator=job.profile.allocator_share * allocated,
        overhead=job.profile.device_overhead,
    )
    return Peak(parts, rank, _in_words(moment))


def _stretches(
    plan: Plan, mine: tuple[LoweredStage, ...], row: Row
) -> Iterator[Stretch]:
    """Yield a rank's passes, or the parts of those in which something is gathered."""
    last = {low.stage.index: len(low.stage.layers) - 1 for low in mine}
    rule = sharding_of(plan)
    if rule is None:
        is_bucketed = plan.synchronization.overlap and plan.parallelism.replicas > 1
        buffers = 2 * plan.synchronization.bucket if is_bucketed else 0.0
        behind = {low.stage.index: _behind(low) for low in mine}
        for action in row:
            kept = behind[action.stage] if action.kind == "F" else 0.0
            yield Stretch(action, 0, last[action.stage], buffers, behind=kept)
        return
    visits = visits_of(rule, row, parts_of(plan, rule, mine))
    for visit, buffers in zip(visits, held_bytes(rule, visits), strict=True):
        has_fresh = rule.stage < 3 or not visit.is_reduced
        ends = 0, last[visit.action.stage]
        if visit.part is not None:
            ends = visit.part.first, visit.part.last
        yield Stretch(visit.action, *ends, buffers, has_fresh)


def _behind(low: LoweredStage) -> Bytes:
    """Return what the dense layers behind a stage keep at most [B]."""
    return low.portions.kept if low.portions else 0.0


def _workspaces(job: Arrangement) -> dict[tuple[Layer, Kind], Bytes]:
    """Return what the convolutions of each layer set aside at most, by kind of pass."""
    share, pricer = make_share(job.plan), job.pricer
    mesh = job.plan.parallelism
    rates, offered = pricer.convolution_rates, pricer.profile.convolutions
    found: dict[tuple[Layer, Kind], Bytes] = {}
    for layer in {layer for low in job.stages for layer in low.stage.layers}:
        is_full = recompute_of(mesh, layer) == "full"
        for operator in layer.operators:
            works = {
                "F": operator.forward(share),
                "I": operator.backward_input(share),
                "W": operator.backward_weight(share),
            }
            for kind, own in works.items():
                for work in own:
                    if work.filtering:
                        size = workspace(work, rates, offered)
                        is_again = layer.role == "block" and is_full
                        for each in _passes(kind, is_repeated=is_again):
                            before = found.get((layer, each), 0.0)
                            found[layer, each] = max(before, size)
    return found


def _passes(direction: str, *, is_repeated: bool) -> tuple[Kind, ...]:
    """Return the passes in which outputs, or a gradient, are computed."""
    if direction == "F":
        return ("F", "B", "I") if is_repeated else ("F",)
    return ("B", "I") if direction == "I" else ("B", "W")


def _in_words(moment: Moment) -> str:
    """Return when a moment is."""
    if moment.action is None:
        return "step of the optimizer"
    stage, kind, microbatch = moment.action
    place = f"{_WORDS[kind]} of stage {stage}, micro-batch {microbatch}"
    return f"{place}, at {moment.layer}" if moment.layer else place
