"""The tables of a plan that say how the work is split."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from simulator.lowering.schedules.table import DESIGNS
from simulator.mesh import Degrees
from simulator.plans.fields import (
    MAX_CAPACITY,
    MAX_LAYERS,
    Balance,
    ContextMethod,
    DenseScheme,
    DenseUpdates,
    Gather,
    LayerSplit,
    Recompute,
    Schedule,
)
from simulator.plans.section import Degree, Section

_MAX_RULES = 1000
BlockNumbers = Annotated[str, Field(max_length=200)]


DERIVED = 0  # stands for a degree until the plan has worked it out


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


class LayerSection(Section):
    """What is done otherwise in the layers of one name, or of several alike."""

    match: str = Field(
        description="Names of layers; * stands for any letters, ? for one. Of several"
        " tables that match a layer, the first that has a key counts.",
        examples=["fc*"],
    )
    blocks: BlockNumbers | None = Field(
        default=None,
        description="Of blocks alike, those of these numbers, counted from 0: numbers"
        " or slices as Python has them; left out, all.",
        examples=[":8", "-8:", "::4", "0, 5, 8:16"],
    )
    stage_blocks: BlockNumbers | None = Field(
        default=None,
        description="The same, counted in each (virtual) stage of the pipeline anew;"
        " stages that have no such block are left out.",
        examples=[":2"],
    )
    split: LayerSplit | None = Field(
        default=None,
        description="What the replicas divide: samples, or the neurons of the dense"
        " layers at the end (Krizhevsky's hybrid); left out, samples.",
    )
    scheme: DenseScheme | None = Field(
        default=None,
        description="How layers split by neurons get their samples: all of all"
        " replicas at once, those of one replica after the other, or an equal part of"
        " each replica's at a time; left out, in turn. Schemes (a), (b) and (c).",
    )
    updates: DenseUpdates | None = Field(
        default=None,
        description="Whether the weights of layers split by neurons change once a"
        " step, or after each portion of samples; left out, once.",
    )
    tensor: Literal[1] | None = Field(
        default=None,
        description="1 where tensor ranks do not divide these layers, and each has them"
        " whole; left out, they do.",
    )
    zero: Annotated[int, Field(ge=0, le=3)] | None = Field(
        default=None,
        description="States of these layers that replicas divide: at most as many as"
        " of the others; 0 where every replica holds them whole and gradients are"
        " summed by all-reduce; left out, as in all.",
    )
    reshard: bool | None = Field(
        default=None,
        description="Whether gathered parameters of these layers are dropped between"
        " forward and backward, where zero = 3 (FSDP2's reshard_after_forward); left"
        " out, as in all.",
    )
    context: Literal[1] | None = Field(
        default=None,
        description="1 where context ranks do not divide the tokens of these blocks:"
        " each gathers whole samples before them, computes them all, and hands its own"
        " tokens on; left out, they do.",
    )
    context_method: ContextMethod | None = Field(
        default=None,
        description="How attention in these layers meets the keys and values of other"
        " devices; left out, as in all.",
    )
    expert: Literal[1] | None = Field(
        default=None,
        description="1 where every device holds all experts of these layers, and no"
        " token is sent to them; left out, they are divided.",
    )
    recompute: Recompute | None = Field(
        default=None,
        description="Activations of these layers that are computed again in backward;"
        " left out, as in all.",
    )

    @property
    def counts_blocks(self) -> bool:
        """Whether it holds for blocks of some numbers only."""
        return self.blocks is not None or self.stage_blocks is not None


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
        " data * context ones.",
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
            expert=self.expert,
            shard=self.shard,
        )

    @property
    def replicas(self) -> int:
        """Ranks that hold the same dense parameters, d · c [1]."""
        return self.data * self.context

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
