"""What has to fit: the parts of a device's memory at its fullest moment, and when.

Weights, gradients and optimizer state are there all the time; the rest is followed
along each rank's schedule (`simulator.memory.walk`).

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
from math import inf

from models.model import Layer
from models.work import Share, Work
from simulator.convolutions.choice import workspace
from simulator.job import Arrangement
from simulator.lowering.formats import element_bytes, working_bytes
from simulator.lowering.layer_shares import layer_share
from simulator.lowering.schedules.actions import Kind
from simulator.lowering.staged import make_share, stages_of
from simulator.lowering.states import held_states, updated_parameters
from simulator.memory.parts import Memory, Peak
from simulator.memory.stretches import Stretches
from simulator.memory.walk import Moment, fullest
from simulator.plan import Plan
from simulator.plans.layer_choices import recompute_of
from topologies.units import Bytes

__all__ = ["Memory", "Peak", "least", "memory", "peak"]

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


def peak(job: Arrangement, limit: Bytes = inf) -> Peak:
    """Return the parts on the fullest device, its pipeline rank, and the moment.

    Args:
        job: as far as its stages and their order.
        limit: one device that needs more than this is answer enough [B].
    """
    stretches = Stretches.of(job.plan, job.stages)
    workspaces = _workspaces(job)
    most: Peak | None = None
    for rank in range(len(job.rows)):
        found = _rank_peak(job, rank, stretches, workspaces)
        if most is None or found.parts.total > most.parts.total:
            most = found
        if most.parts.total > limit:
            break
    assert most
    return most


def least(job: Arrangement) -> Bytes:
    """Return what the fullest device needs in any order of its passes [B].

    That is states, context and libraries.
    """
    ranks = range(job.plan.parallelism.pipeline)
    each = (sum(held_states(job.plan, stages_of(job.stages, rank))) for rank in ranks)
    return max(each) * (1 + job.profile.allocator_share) + job.profile.device_overhead


def _rank_peak(
    job: Arrangement,
    rank: int,
    stretches: Stretches,
    workspaces: Mapping[tuple[Layer, Kind], Bytes],
) -> Peak:
    plan = job.plan
    mine = stages_of(job.stages, rank)
    states = held_states(plan, mine)
    moment = fullest(stretches.of_rank(mine, job.rows[rank]), workspaces)
    updated = updated_parameters(plan, mine)
    copies = _gradient_copies(plan) * updated
    step = Moment(working=copies + working_bytes(plan.training.optimizer) * updated)
    if step.total > moment.total:
        moment, copies = step, 0.0
    allocated = sum(states) + moment.total
    parts = Memory(
        weights=states.weights,
        gradients=states.gradients,
        optimizer=states.optimizer,
        activations=moment.activations,
        working=moment.working,
        workspace=moment.workspace,
        buffers=moment.buffers,
        allocator=job.profile.allocator_share * allocated + copies,
        overhead=job.profile.device_overhead,
    )
    return Peak(parts, rank, _in_words(moment))


def _gradient_copies(plan: Plan) -> Bytes:
    """Return what the optimizer's step copies of a gradient, in its format and in fp32.

    Those are blocks of the size of all gradients, which find no place among those of
    activations, and the allocator gives back none.

    Source: DeepSpeed of February 2022, runtime/zero/stage_1_and_2.py, `step`.
    """
    if not plan.training.gradient_copies:
        return 0.0
    return element_bytes(plan.training.gradient_precision) + 4.0


def _workspaces(job: Arrangement) -> dict[tuple[Layer, Kind], Bytes]:
    """Return what the convolutions of each layer set aside at most, by kind of pass."""
    usual, mesh = make_share(job.plan), job.plan.parallelism
    found: dict[tuple[Layer, Kind], Bytes] = {}
    for layer in {layer for low in job.stages for layer in low.stage.layers}:
        is_again = layer.role == "block" and recompute_of(mesh, layer) == "full"
        for direction, work in _convolutions(layer, layer_share(mesh, layer, usual)):
            own = job.pricer
            rates, offered = own.achieved.convolution_rates, own.profile.convolutions
            size = workspace(work, rates, offered)
            for kind in _passes(direction, is_repeated=is_again):
                found[layer, kind] = max(found.get((layer, kind), 0.0), size)
    return found


def _convolutions(layer: Layer, share: Share) -> Iterator[tuple[Kind, Work]]:
    """Yield the convolutions of a layer: of outputs F, of gradients I and W."""
    for operator in layer.operators:
        works: dict[Kind, tuple[Work, ...]] = {
            "F": operator.forward(share),
            "I": operator.backward_input(share),
            "W": operator.backward_weight(share),
        }
        for kind, own in works.items():
            yield from ((kind, work) for work in own if work.filtering)


def _passes(direction: Kind, *, is_repeated: bool) -> tuple[Kind, ...]:
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
