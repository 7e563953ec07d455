"""The tables of a plan file, as frozen records: what each key means, and its limits.

Here stands what one key may hold; how keys have to fit together is in `checks`.
Attribute names are TOML keys, except `BatchSection.global_`, whose key is `global`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, cast

from pydantic import Field

from simulator.lowering.schedules.table import DESIGNS
from simulator.mesh import Degrees
from simulator.plans.device_step import DeviceStepSection
from simulator.plans.fields import (
    MAX_CAPACITY,
    MAX_DIMENSION,
    MAX_LAYERS,
    Algorithm,
    Attention,
    Balance,
    Bound,
    ContextMethod,
    ConvolutionAlgorithm,
    DenseScheme,
    DenseUpdates,
    Family,
    Framework,
    Gather,
    GradientPrecision,
    Kernels,
    LayerSplit,
    Optimizer,
    Precision,
    Pull,
    Quantity,
    Recompute,
    Schedule,
    Scheme,
    SumPlace,
    Threshold,
)
from simulator.plans.network_fields import Order, RingOrder
from simulator.plans.network_records import (
    BackgroundSection,
    ClusterSection,
    DegradedSection,
    NetworkSection,
    NodeSection,
)
from simulator.plans.section import Degree, Section
from simulator.plans.stage_times import StageTimesSection

__all__ = [
    "ARRAYS",
    "DERIVED",
    "SECTIONS",
    "TEXTS",
    "BackgroundSection",
    "BatchSection",
    "ClusterSection",
    "DeviceStepSection",
    "ExpectSection",
    "LayerSection",
    "ModelSection",
    "NetworkSection",
    "NodeSection",
    "ParallelismSection",
    "Section",
    "StageTimesSection",
    "SynchronizationSection",
    "TrainingSection",
    "keys_in",
    "keys_of",
    "plan_keys",
    "table_of",
]

Dimension = Annotated[int, Field(ge=1, le=MAX_DIMENSION)]
DimensionOrNone = Annotated[int, Field(ge=0, le=MAX_DIMENSION)]

_MAX_RULES = 1000
DERIVED = 0  # stands for a degree until the plan has worked it out


class ModelSection(Section):
    """What is trained: a published network, a family, or a file that describes it."""

    name: str | None = Field(
        default=None,
        description="A network of the catalogue (`simulate list models`); the"
        " dimensions below then override its own.",
        json_schema_extra={"catalogue": "models"},
    )
    family: Family | None = Field(
        default=None, description="A family whose dimensions are all given here."
    )
    file: str | None = Field(
        default=None,
        description="A transformer's config.json, as Hugging Face keeps it, relative to"
        " the plan's folder; the dimensions below then override its own.",
    )
    layers: Annotated[int, Field(ge=1, le=MAX_LAYERS)] | None = Field(
        default=None, description="Transformer blocks."
    )
    hidden: Dimension | None = Field(
        default=None, description="Width of the residual stream, h."
    )
    heads: Dimension | None = Field(default=None, description="Attention heads, a.")
    kv_heads: Dimension | None = Field(
        default=None, description="Key-value heads of grouped-query attention."
    )
    head_width: Dimension | None = Field(
        default=None, description="Features of a head; left out, hidden / heads."
    )
    feed_forward: Dimension | None = Field(
        default=None, description="Inner width of the feed-forward part."
    )
    sequence_length: Dimension | None = Field(
        default=None, description="Tokens in a sample, s."
    )
    vocabulary: Dimension | None = Field(
        default=None, description="Rows of the embedding, as padded for training."
    )
    attention: Attention | None = Field(
        default=None,
        description="Attention kernel: materialized scores, or flash; left out, what"
        " the model was trained with (flash for llama).",
    )
    kernels: Kernels | None = Field(
        default=None,
        description="Whose kernels do what is between products: a training library's;"
        " one an operation, as PyTorch has them (eager); joined by torch.compile"
        " (compiled); or Transformer Engine's (engine). Left out, a library's.",
    )
    fused_loss: bool | None = Field(
        default=None,
        description="Whether one kernel makes the loss and the gradient of the logits,"
        " in their place; left out, in Transformer Engine only.",
    )
    dropout: bool | None = Field(
        default=None,
        description="Whether blocks drop activations at random; left out, as the"
        " family was trained (gpt and bert do).",
    )
    experts: Dimension | None = Field(
        default=None,
        description="Experts of a block, instead of one feed-forward part.",
    )
    top_k: Dimension | None = Field(
        default=None, description="Experts that a token uses."
    )
    expert_feed_forward: Dimension | None = Field(
        default=None,
        description="Inner width of one expert; left out, that of the feed-forward.",
    )
    shared_experts: DimensionOrNone | None = Field(
        default=None, description="Further experts that every token uses."
    )
    dense_layers: DimensionOrNone | None = Field(
        default=None, description="First blocks, which have no experts."
    )
    capacity_factor: Annotated[float, Field(gt=0, le=MAX_CAPACITY)] | None = Field(
        default=None,
        description="Rows that an expert computes, over those at balance; left out, 1.",
        examples=[1.25],
    )
    query_rank: DimensionOrNone | None = Field(
        default=None,
        description="Latent attention: width of the queries' vector; 0 without one.",
    )
    kv_rank: Dimension | None = Field(
        default=None,
        description="Latent attention: width of the keys' and values' vector.",
    )
    plain_width: Dimension | None = Field(
        default=None,
        description="Latent attention: features of a head's key without position.",
    )
    rotary_width: Dimension | None = Field(
        default=None,
        description="Latent attention: features of a key that carry the position.",
    )
    value_width: Dimension | None = Field(
        default=None, description="Latent attention: features of a head's value."
    )
    widths: Annotated[tuple[Dimension, ...], Field(strict=False)] | None = Field(
        default=None,
        min_length=2,
        max_length=MAX_LAYERS,
        description="Features of an MLP, from its input to its output.",
    )
    image: Dimension | None = Field(
        default=None,
        description="Height and width of a sample of AlexNet, a VGG or a ResNet.",
        examples=[64],
    )
    thinning: Dimension | None = Field(
        default=None,
        description="By what channels and hidden features of those are divided.",
        examples=[8],
    )


class BatchSection(Section):
    """How many samples an optimizer step consumes, and in what portions."""

    global_: Dimension = Field(
        alias="global",
        description="Samples of one optimizer step over all replicas, B.",
        examples=[1536],
    )
    micro: Dimension = Field(
        description="Samples a replica processes at once, b.", examples=[2]
    )


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


class LayerSection(Section):
    """What is done otherwise in the layers of one name, or of several alike."""

    match: str = Field(
        description="Names of layers; * stands for any letters, ? for one. Of several"
        " tables that match a layer, the first that has a key counts.",
        examples=["fc*"],
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
    recompute: Recompute | None = Field(
        default=None,
        description="Activations of these layers that are computed again in backward;"
        " left out, as in all.",
    )


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


def _gradient_precision(training: dict[str, Any]) -> GradientPrecision:
    precision: Precision = training["precision"]
    others: dict[Precision, GradientPrecision] = {"tf32": "fp32", "fp8": "bf16"}
    return others.get(precision, cast("GradientPrecision", precision))


class TrainingSection(Section):
    """Number formats and the optimizer."""

    precision: Precision = Field(
        default="bf16",
        description="Number format of compute, which sets the peak; fp8 is that of"
        " products with weights, with all else in bf16; fixed16 is rounded at random.",
    )
    fraction: Annotated[int, Field(ge=0, le=15)] | None = Field(
        default=None,
        description="Bits of a fixed-point number after the point; they change what is"
        " computed, and not the time.",
    )
    gradient_precision: GradientPrecision = Field(
        default_factory=_gradient_precision,
        description="Number format in which gradients are summed; left out, that of"
        " compute (fp32 for tf32, bf16 for fp8).",
    )
    parameter_precision: GradientPrecision | None = Field(
        default=None,
        description="Number format in which parameters are kept; left out, that of"
        " compute with an fp32 copy for the optimizer, or, where zero = 3, fp32 alone,"
        " which is cast when it is gathered.",
    )
    optimizer: Optimizer = Field(
        default="adam",
        description="Sets the optimizer's state in memory, and the bytes of its step.",
    )
    history: Annotated[int, Field(ge=1, le=MAX_LAYERS)] = Field(
        default=10,
        description="Pairs of steps and gradients that lbfgs keeps.",
    )
    loss_copies: Annotated[int, Field(ge=1, le=MAX_LAYERS)] = Field(
        default=1,
        description="Copies of the logits in fp32 that the loss has at once: 1 where"
        " it overwrites them (Megatron-LM), 3 as torch's cross_entropy makes them, 4 as"
        " its loss_parallel does.",
    )
    framework: Framework = Field(
        default="megatron",
        description="Whose rules say what is sent: Megatron-LM's, or torch's own, which"
        " `simulate run` executes.",
    )
    convolution: ConvolutionAlgorithm = Field(
        default="auto",
        description="How convolutions are computed, a matrix product where that cannot"
        " be done; auto takes the fastest for each layer and direction among those that"
        " the device's profile offers.",
    )
    fused_accumulation: bool = Field(
        default=False,
        description="Whether the products that give gradients of weights add them to"
        " the sum so far (Megatron-LM's gradient accumulation fusion).",
    )
    post_validation: bool = Field(
        default=False,
        description="Whether each pipeline rank steps before all have agreed on the"
        " gradient norm, and takes the step back where that was wrong, so that steps"
        " follow one another without a gap.",
    )


class SynchronizationSection(Section):
    """How replicas agree on the weights."""

    scheme: Scheme = Field(
        default="all-reduce",
        description="Synchronous data parallelism: gradients summed among replicas, or"
        " pushed to parameter servers, which wait for all.",
    )
    servers: Degree | None = Field(
        default=None,
        description="Parameter servers, each on a node of its own; left out, one on"
        " every node.",
    )
    sum_on: SumPlace = Field(
        default="host",
        description="Where a node adds its devices' gradients before it pushes them:"
        " on its host, or on its devices, each variable on the one that has least.",
    )
    whole_variables: bool = Field(
        default=False,
        description="Whether each variable is on one server, the least loaded; else"
        " all are divided evenly over them.",
    )
    pull: Pull = Field(
        default="after-push",
        description="When parameters come back from servers: as soon as they are new,"
        " before the next forward uses them, layer by layer, or all before it begins.",
    )
    algorithm: Algorithm = Field(
        default="ring", description="How the all-reduce becomes messages."
    )
    overlap: bool = Field(
        default=True,
        description="Whether buckets of gradients are summed while backward goes on.",
    )
    bucket: Annotated[float, Quantity("B")] = Field(
        default=25e6,
        description="Gradients fused into one all-reduce or push.",
        json_schema_extra={"default": "25 MB"},
    )
    ring_order: Annotated[RingOrder, Order()] = Field(
        default="auto",
        description="Order of the nodes around a ring: chosen by load, by rank, or"
        " all node numbers.",
    )


class ExpectSection(Section):
    """Bounds that the prediction has to keep; the exit code is 4 if one breaks."""

    step_time: Annotated[Threshold | None, Bound("s")] = Field(
        default=None, description="Of one optimizer step."
    )
    memory_peak: Annotated[Threshold | None, Bound("B")] = Field(
        default=None, description="On the fullest device."
    )
    mfu: Annotated[Threshold | None, Bound("1")] = Field(
        default=None, description="Model FLOP/s utilisation, from 0 to 1."
    )
    samples_per_s: Annotated[Threshold | None, Bound("1")] = Field(
        default=None, description="Throughput in samples a second."
    )
    tokens_per_s: Annotated[Threshold | None, Bound("1")] = Field(
        default=None, description="Throughput in tokens a second."
    )


class CollectiveSection(Section):
    """One collective by itself, as a benchmark of the network runs it."""

    pattern: str = Field(
        description="What it does, such as all-reduce; several in a row are joined"
        " by ' + '.",
        examples=["all-reduce", "reduce + broadcast"],
    )
    size: Annotated[float, Quantity("B", at_most="1 EiB")] = Field(
        description="Message in NCCL's convention: the buffer of a rank; of an"
        " all-gather the whole output, of a reduce-scatter the whole input."
    )
    algorithm: str = Field(
        default="auto",
        description="How it becomes messages, one for each pattern, joined by ' + ';"
        " auto takes the fastest.",
        examples=["ring", "chain + chain"],
    )
    protocol: str | None = Field(
        default=None,
        description="The only protocol of the links that it may use, as the profile"
        " calls it; left out, the fastest.",
    )
    ranks: Degree | None = Field(
        default=None, description="Devices that take part; left out, all."
    )
    servers: Degree | None = Field(
        default=None,
        description="Servers of a sharded push or pull; left out, one a rank.",
    )
    calls: Annotated[int, Field(ge=1, le=MAX_LAYERS)] = Field(
        default=1, description="Equal parts of the message, one after the other."
    )
    ring_order: Annotated[RingOrder, Order()] = Field(
        default="auto",
        description="Order of the nodes around a ring on a graph: chosen by load, by"
        " rank, or all node numbers.",
    )


SECTIONS: dict[str, type[Section]] = {
    "model": ModelSection,
    "batch": BatchSection,
    "parallelism": ParallelismSection,
    "parallelism.layers": LayerSection,
    "training": TrainingSection,
    "synchronization": SynchronizationSection,
    "stage_times": StageTimesSection,
    "device_step": DeviceStepSection,
    "cluster": ClusterSection,
    "cluster.node": NodeSection,
    "cluster.network": NetworkSection,
    "cluster.network.degraded": DegradedSection,
    "cluster.background": BackgroundSection,
    "expect": ExpectSection,
    "collective": CollectiveSection,
}
TEXTS = ("title", "description")
ARRAYS = ("cluster.network.degraded", "cluster.background", "parallelism.layers")
"""Tables that may stand several times, as `[[cluster.background]]`."""


def keys_of(section: type[Section]) -> list[str]:
    """Return the TOML keys of `section`, in order."""
    fields = section.model_fields.items()
    return [field.alias or name for name, field in fields]


def table_of(key: str) -> str:
    """Return `key` without the numbers of an array's tables.

    >>> table_of("cluster.background[1].rate")
    'cluster.background.rate'
    """
    return re.sub(r"\[\d+\]", "", key)


def keys_in(table: str) -> list[str]:
    """Return the keys that may stand in `table`; the top of the file is ''."""
    if table:
        return keys_of(SECTIONS[table_of(table)])
    return [*TEXTS, *(name for name in SECTIONS if "." not in name)]


def plan_keys() -> list[str]:
    """Return every dotted key of a plan that holds a value."""
    tables = [table for table in SECTIONS if table not in ARRAYS]
    keys = [f"{table}.{key}" for table in tables for key in keys_in(table)]
    return [*TEXTS, *(key for key in keys if key not in SECTIONS or key in ARRAYS)]
