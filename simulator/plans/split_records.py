"""The tables of a plan that say how the work is split."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from simulator.lowering.schedules.table import DESIGNS
from simulator.mesh import Degrees
from simulator.plans.fields import (
    MAX_CAPACITY,
    MAX_LAYERS,
    Balance,
    ContextMethod,
    Gather,
    Recompute,
    Schedule,
)
from simulator.plans.layer_records import LayerSection
from simulator.plans.section import Degree, Section

_MAX_RULES = 1000

DERIVED = 0  # stands for a degree until the plan has worked it out


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


class ParallelismSection(Section):
    """How the work is split: the lengths of the mesh axes, and the pipeline."""

    tensor: Degree = Field(
        default=1, description="Devices that divide each matrix (Megatron), t."
    )
    pipeline: Degree = Field(
        default=1, description="Devices that divide the layers in stages, p."
    )
    context: Degree = Field(
        default=1, description="Devices that divide the tokens of each sample, c."
    )
    data: Degree = Field(
        default=DERIVED,
        description="Replicas, d; left out, all devices are used:"
        " devices / (tensor * context * pipeline).",
        json_schema_extra=_without_default,
    )
    expert: Degree = Field(
        default=1,
        description="Devices that divide the experts, e: neighbours among the"
        " data * context ones, or, where expert_tensor = 1, among the tensor ones too.",
    )
    expert_tensor: Degree | None = Field(
        default=None,
        description="Tensor ranks that divide each expert: all of them if left out; 1"
        " where experts are whole, and tensor ranks are among the devices that divide"
        " them (Megatron-Core's expert_tensor_parallel_size).",
        examples=[1],
    )
    zero: Annotated[int, Field(ge=0, le=3)] = Field(
        default=0,
        description="States that those devices divide instead of each holding all"
        " (ZeRO): of the optimizer, 1; gradients too, 2; parameters too, 3, as FSDP.",
    )
    shard: Degree = Field(
        default=DERIVED,
        description="Devices over which states are divided, s: neighbours among the"
        " data * context ones; left out, all of those.",
        json_schema_extra=_without_default,
    )
    prefetch: Annotated[int, Field(ge=0, le=MAX_LAYERS)] = Field(
        default=1,
        description="Units (layers) whose parameters are gathered ahead of the one that"
        " computes, where zero = 3.",
    )
    reshard: bool = Field(
        default=True,
        description="Whether gathered parameters are dropped between forward and"
        " backward, where zero = 3.",
    )
    reduce_each: bool | None = Field(
        default=None,
        description="Whether zero = 2 and 3 reduce gradients in every micro-batch, or"
        " keep whole ones up to the last; left out, in every one unless there is a"
        " pipeline.",
    )
    gather: Gather = Field(
        default="layer",
        description="What is gathered, and its gradients reduced, in one message where"
        " zero = 3: a layer, as FSDP flattens it, or each weight of it by itself, which"
        " is dropped after every use, that of recomputation included (DeepSpeed).",
    )
    overlap_gather: bool = Field(
        default=False,
        description="Whether zero = 1 and 2 gather the updated parameters, bucket by"
        " bucket, during the next forward, and not after the optimizer.",
    )
    sequence: bool = Field(
        default=False,
        description="Megatron's sequence parallelism: the tensor ranks also divide"
        " normalisation and dropout, along the tokens.",
    )
    overlap_tensor: bool = Field(
        default=False,
        description="Whether tensor collectives of the backward pass run beside the"
        " gradient products that do not need them (Megatron-LM since 2022).",
    )
    async_tensor: bool = Field(
        default=False,
        description="Asynchronous tensor parallelism: products run chunk by chunk"
        " beside the collectives of the sequence that they need or feed; includes"
        " overlap_tensor.",
    )
    context_method: ContextMethod = Field(
        default="ring",
        description="How attention meets the keys and values of other devices of a"
        " sample: they go around a ring while attention computes, or are gathered"
        " before it.",
    )
    context_balanced: bool = Field(
        default=True,
        description="Whether each of these devices has a piece from either end of a"
        " sample, so that a causal mask leaves all of them the same work.",
    )
    expert_imbalance: Annotated[float, Field(ge=1, le=MAX_CAPACITY)] = Field(
        default=1.0,
        description="Rows of the device whose experts get most, over the mean; nothing"
        " is dropped, and all wait for it.",
        examples=[1.2],
    )
    expert_neighbours: Degree = Field(
        default=1,
        description="Of the devices that divide the experts, neighbours (of a node) to"
        " whom a token is sent once, and among whom it goes on; 1: to each of its"
        " experts by itself.",
    )
    expert_nodes: Degree | None = Field(
        default=None,
        description="Groups of such neighbours to which a token goes at most"
        " (node-limited routing); left out, as many as it has experts.",
        examples=[4],
    )
    schedule: Schedule = Field(
        default="1f1b", description="Order of micro-batches in the pipeline."
    )
    virtual_stages: Annotated[int, Field(ge=1, le=MAX_LAYERS)] = Field(
        default=1, description="Chunks of layers a pipeline rank holds (interleaved)."
    )
    memory_limit: Annotated[float, Field(ge=1, le=MAX_LAYERS)] = Field(
        default=1.0,
        description="Micro-batches whose activations the automatic schedule (zb-auto)"
        " may keep on a rank, in multiples of the pipeline, which is what 1F1B keeps.",
    )
    stages: (
        Annotated[
            tuple[Annotated[int, Field(ge=0, le=MAX_LAYERS)], ...], Field(strict=False)
        ]
        | None
    ) = Field(
        default=None,
        description="Blocks of each virtual stage; left out, equally many.",
        examples=[[2, 3, 3, 2]],
    )
    balance: Balance = Field(
        default="layers",
        description="How blocks are divided where stages are left out: equally many,"
        " or so that the slowest stage takes least time.",
    )
    overlap_sends: bool | None = Field(
        default=None,
        description="Whether a pipeline rank goes on while it sends; left out, it does"
        " where the schedule has backward passes in two parts, and else waits, as"
        " Megatron does without interleaving.",
    )
    scatter_sends: bool | None = Field(
        default=None,
        description="Whether a tensor rank sends its part of an activation to the next"
        " stage, whose tensor ranks gather it (Megatron-LM's scatter/gather"
        " optimization), or each sends all of it; left out, its part unless"
        " framework = torch.",
    )
    overlap_passes: bool | None = Field(
        default=None,
        description="Whether a forward pass and a backward pass of other samples run as"
        " one on a rank, each computing while the other's messages are under way; left"
        " out, only where the schedule is made for that (dualpipe). For the interleaved"
        " one it is Megatron-Core's overlap_moe_expert_parallel_comm.",
    )
    recompute: Recompute = Field(
        default="none",
        description="Activations dropped in forward and computed again in backward:"
        " selective, those of attention's scores; operators, all but the results of"
        " attention and of every second matrix product (torchtitan); of these,"
        " compiled-operators drops the last, which no backward reads; full, all but a"
        " block's input.",
    )
    recompute_early: bool = Field(
        default=False,
        description="Whether a stage computes a micro-batch's activations again while"
        " it waits for the gradient of its output (GPipe); needs recompute full.",
    )
    recompute_stops: bool | None = Field(
        default=None,
        description="Whether recomputation, full or selective, stops once all that"
        " backward reads is there again, so that a block's last product is not computed"
        " twice (torch since 2.1, where it is not reentrant); left out, where framework"
        " = torch.",
    )
    recompute_all: bool = Field(
        default=True,
        description="Whether every micro-batch is computed again; otherwise the first"
        " to go back is not dropped (torchgpipe's except_last). Needs recompute full.",
    )
    layers: Annotated[tuple[LayerSection, ...], Field(strict=False)] = Field(
        default=(),
        max_length=_MAX_RULES,
        description="Choices for layers by name, which go before those of all.",
    )

    @property
    def degrees(self) -> Degrees:
        """How many ranks each axis has."""
        return Degrees(
            tensor=self.tensor,
            data=self.data,
            pipeline=self.pipeline,
            context=self.context,
            expert=self.expert_ranks,
            shard=self.shard,
            neighbours=self.expert_neighbours,
            has_whole_experts=self.has_whole_experts,
        )

    @property
    def replicas(self) -> int:
        """Ranks that hold the same dense parameters, d · c [1]."""
        return self.data * self.context

    @property
    def has_whole_experts(self) -> bool:
        """Whether tensor ranks have experts of their own, and no parts of all."""
        return self.expert_tensor == 1 and self.tensor > 1

    @property
    def expert_ranks(self) -> int:
        """Replicas that hold different experts [1].

        Each has t ranks, which are among the devices that divide experts where these
        are whole.
        """
        if not self.has_whole_experts:
            return self.expert
        return max(1, self.expert // self.tensor)  # less than one is refused

    @property
    def num_stages(self) -> int:
        """Virtual stages in all [1]."""
        return self.pipeline * (DESIGNS[self.schedule].chunks or self.virtual_stages)

    @property
    def placement(self) -> tuple[tuple[int, ...], ...]:
        """The pipeline ranks that hold each virtual stage."""
        return DESIGNS[self.schedule].placement(self.pipeline, self.virtual_stages)

    @property
    def sends_overlap(self) -> bool:
        """Whether a pipeline rank goes on while it sends."""
        is_split = DESIGNS[self.schedule].has_parts
        return is_split if self.overlap_sends is None else self.overlap_sends

    @property
    def passes_overlap(self) -> bool:
        """Whether a forward and a backward pass run as one, where they can."""
        is_usual = DESIGNS[self.schedule].is_paired
        return is_usual if self.overlap_passes is None else self.overlap_passes
