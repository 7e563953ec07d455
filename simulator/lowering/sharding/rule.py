"""What a plan says about states that replicas divide among each other.

=====  ===========================  ============================  ====================
stage  gradients                    parameters                    kept in parts of 1/s
=====  ===========================  ============================  ====================
1      reduce-scattered in the      all-gathered after the        optimizer
       last micro-batch             optimizer, or in the next
                                    forward
2      the same in each             the same                      and gradients
3      the same, unit by unit       all-gathered, unit by unit,   and parameters
                                    for forward and backward
=====  ===========================  ============================  ====================

Layers may be divided less than the plan's others: in each the stage is its own, and in
stage 0 its gradients are all-reduced in the last micro-batch.

Over fewer than all replicas (hybrid sharding) the parts of a gradient are then
all-reduced among the ranks that hold the same part.

Source: Rajbhandari et al., arXiv:1910.02054, sections 5 and 7 (stages and their
messages); Zhao et al., arXiv:2304.11277, section 3.2.2 (hybrid), 3.3 (prefetch).
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator.lowering.formats import element_bytes
from simulator.plan import Plan
from topologies.units import Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharding:
    """How states are divided, and when what is divided comes together.

    Fields:
        stage: 1, 2 or 3 of ZeRO, of the layers of which the plan says nothing else.
        shards: ranks that divide the states, s [1].
        copies: ranks that hold the same part of them [1].
        expert_shards: ranks that divide those of experts which not all replicas
            hold [1].
        element: bytes of a parameter as gathered [B].
        gradient: bytes of a gradient as reduced [B].
        prefetch: units gathered ahead of the one that computes [1].
        is_lasting: whether parameters that are not dropped stay until the step ends, as
            those of a pipeline's stages do, or else until no micro-batch is under way.
        stays_behind: whether what a backward gathered is there for the next forward,
            as in torch's pipelines, which drop only after forwards, and then always.
        is_reduced_each: whether gradients are reduced in every micro-batch.
        gathers_weights: whether each weight is a message, and is dropped after use.
        is_overlapped: whether the backward goes on while gradients are reduced.
        gathers_in_forward: whether stages 1 and 2 gather in the next forward.
    """

    stage: int
    shards: int
    copies: int
    expert_shards: int
    element: Bytes
    gradient: Bytes
    prefetch: int
    is_lasting: bool
    stays_behind: bool
    is_reduced_each: bool
    gathers_weights: bool
    is_overlapped: bool
    gathers_in_forward: bool

    def keeps_whole_gradients(self, stage: int) -> bool:
        """Return whether a rank sums whole gradients over micro-batches.

        Args:
            stage: of ZeRO, of the layers whose gradients they are.
        """
        return stage < 2 or not self.is_reduced_each

    def has_buffers(self, stage: int) -> bool:
        """Return whether gradients are copied to be reduced, and not where they are."""
        return stage == 3 or not self.keeps_whole_gradients(stage)


def sharding_of(plan: Plan) -> Sharding | None:
    """Return how a plan's states are divided; None if every replica has all."""
    mesh, training = plan.parallelism, plan.training
    if not mesh.zero or mesh.replicas == 1:
        return None
    has_pipeline = mesh.pipeline > 1
    each = not has_pipeline if mesh.reduce_each is None else mesh.reduce_each
    return Sharding(
        stage=mesh.zero,
        shards=mesh.shard,
        copies=mesh.replicas // mesh.shard,
        expert_shards=mesh.replicas // mesh.expert_ranks,
        element=element_bytes(training.precision),
        gradient=element_bytes(training.gradient_precision),
        prefetch=mesh.prefetch,
        is_lasting=has_pipeline,
        stays_behind=has_pipeline and training.framework == "torch",
        is_reduced_each=mesh.zero > 1 and (each or plan.num_microbatches == 1),
        gathers_weights=mesh.gather == "weight",
        is_overlapped=plan.synchronization.overlap,
        gathers_in_forward=mesh.overlap_gather,
    )


def state_shards(plan: Plan) -> int:
    """Return over how many ranks the optimizer's state is divided [1]."""
    rule = sharding_of(plan)
    return rule.shards if rule else 1


def gradient_shards(plan: Plan, zero: int) -> int:
    """Return over how many ranks gradients are divided when the passes have ended [1].

    Whole ones that ZeRO-3 kept over micro-batches are in parts by then.

    Args:
        plan: of the step.
        zero: which states of their layers are divided.
    """
    rule = sharding_of(plan)
    if rule is None:
        return 1
    is_whole = zero < 3 and rule.keeps_whole_gradients(zero)
    return 1 if is_whole else rule.shards
