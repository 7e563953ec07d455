"""A rank's schedule as stretches: passes, or the parts in which something is gathered.

A stage that is computed again before its backward begins keeps its input only, and is
there in full from then on; the micro-batch that is never dropped keeps everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from models.model import Layer
from simulator.lowering.layer_shares import layer_share
from simulator.lowering.recomputed import is_first_kept
from simulator.lowering.schedules.actions import Row
from simulator.lowering.sharding.rule import Sharding, sharding_of
from simulator.lowering.sharding.units import parts_of
from simulator.lowering.sharding.visits import held_bytes, visits_of
from simulator.lowering.staged import LoweredStage, make_share
from simulator.memory.needs import Needs, layer_needs
from simulator.memory.walk import Need, Stretch
from simulator.plan import Plan
from simulator.plans.layer_choices import method_of, recompute_of
from topologies.units import Bytes


def plan_needs(
    plan: Plan, stages: tuple[LoweredStage, ...], recompute: str | None = None
) -> dict[Layer, Needs]:
    """Return what each layer of a plan's stages takes for one micro-batch.

    Args:
        plan: of the step.
        stages: whose layers they are.
        recompute: instead of what the plan says of each layer.
    """
    share, mesh = make_share(plan), plan.parallelism
    return {
        layer: layer_needs(
            layer,
            layer_share(mesh, layer, share),
            recompute or recompute_of(mesh, layer),
            loss_copies=plan.training.loss_copies,
            method=method_of(mesh, layer),
        )
        for layer in {layer for low in stages for layer in low.stage.layers}
    }


@dataclass(frozen=True, slots=True)
class Stretches:
    """Makes the stretches of ranks.

    Fields:
        plan: of the step.
        stages: all of them.
        usual: what layers take.
        kept: the same where nothing is dropped; None where no micro-batch is so.
        early: the stages' inputs, where stages are computed again early [B].
        slices: consecutive layers, made once.
    """

    plan: Plan
    stages: tuple[LoweredStage, ...]
    usual: Mapping[Layer, Needs]
    kept: Mapping[Layer, Needs] | None
    early: Mapping[int, Bytes]
    slices: dict[tuple[int, int, int, bool], tuple[Need, ...]] = field(
        default_factory=dict
    )

    @classmethod
    def of(cls, plan: Plan, stages: tuple[LoweredStage, ...]) -> Stretches:
        """Return what makes the stretches of a plan's ranks."""
        usual = plan_needs(plan, stages)
        is_early = plan.parallelism.recompute_early
        has_kept = is_first_kept(plan)
        whole = plan_needs(plan, stages, "none") if has_kept or is_early else None
        inputs = {low.stage.index: _input_bytes(plan, stages, low) for low in stages}
        early = inputs if is_early else {}
        return cls(plan, stages, whole if is_early and whole else usual, whole, early)

    def of_rank(self, mine: tuple[LoweredStage, ...], row: Row) -> Iterator[Stretch]:
        """Yield what a rank does, in order.

        Args:
            mine: its stages.
            row: its schedule.
        """
        plan, rule = self.plan, sharding_of(self.plan)
        if rule is not None:
            yield from self._divided(rule, mine, row)
            return
        is_bucketed = plan.synchronization.overlap and plan.parallelism.replicas > 1
        buffers = 2 * plan.synchronization.bucket if is_bucketed else 0.0
        behind = {low.stage.index: _behind(low) for low in mine}
        for action in row:
            kept = behind[action.stage] if action.kind == "F" else 0.0
            needs = self._needs(action.stage, action.microbatch)
            yield Stretch(action, needs, buffers, behind=kept)

    def _divided(
        self, rule: Sharding, mine: tuple[LoweredStage, ...], row: Row
    ) -> Iterator[Stretch]:
        visits = visits_of(rule, row, parts_of(self.plan, rule, mine))
        for visit, buffers in zip(visits, held_bytes(rule, visits), strict=True):
            is_sent = visit.is_reduced and visit.part and visit.part.unit.stage == 3
            has_fresh = not is_sent
            stage, _, microbatch = visit.action
            ends = (visit.part.first, visit.part.last) if visit.part else None
            needs = self._needs(stage, microbatch, ends)
            yield Stretch(visit.action, needs, buffers, has_fresh)

    def _needs(
        self, stage: int, microbatch: int, ends: tuple[int, int] | None = None
    ) -> tuple[Need, ...]:
        """Return what consecutive layers of a stage take, the same for equal calls."""
        is_kept = self.kept is not None and microbatch == 0 and is_first_kept(self.plan)
        layers = self.stages[stage].stage.layers
        last = len(layers) - 1
        first, end = ends or (0, last)
        key = (stage, first, end, is_kept)
        if key not in self.slices:
            needs = self.kept if is_kept and self.kept else self.usual
            chosen = layers[first : end + 1]
            own = tuple(Need(layer, needs[layer]) for layer in chosen)
            if self.early and not is_kept:
                size = self.early[stage] if end == last else 0.0
                own = _early(own, size)
            self.slices[key] = own
        return self.slices[key]


def _early(needs: tuple[Need, ...], size: Bytes) -> tuple[Need, ...]:
    """Return layers as one that keeps an input and is computed again as a whole."""
    each = [need.needs for need in needs]
    whole = Needs(
        kept=size,
        again=sum(need.kept for need in each),
        left=sum(need.left for need in each),
        gradients=max(need.gradients for need in each),
        fresh=max(need.fresh for need in each),
        both=max(need.both for need in each),
    )
    return (Need(needs[-1].layer, whole),)


def _behind(low: LoweredStage) -> Bytes:
    """Return what the dense layers behind a stage keep at most [B]."""
    return low.portions.kept if low.portions else 0.0


def _input_bytes(
    plan: Plan, stages: tuple[LoweredStage, ...], low: LoweredStage
) -> Bytes:
    """Return the input of a stage of one micro-batch; samples are not counted [B]."""
    if low.stage.index == 0:
        return 0.0
    share, last = make_share(plan), stages[low.stage.index - 1].stage.layers[-1]
    return share.element * share.samples * last.output_elements / share.sequence
