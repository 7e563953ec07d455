"""The tables of a plan on number formats, the optimizer, and how replicas agree."""

from __future__ import annotations

from typing import Annotated, Any, cast

from pydantic import Field

from simulator.plans.fields import (
    MAX_LAYERS,
    Algorithm,
    ConvolutionAlgorithm,
    DispatchPrecision,
    Framework,
    GradientPrecision,
    Optimizer,
    Precision,
    Pull,
    Quantity,
    ScaleGroup,
    Scheme,
    SumPlace,
)
from simulator.plans.network_fields import Order, RingOrder
from simulator.plans.section import Degree, Section


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
    scale_group: ScaleGroup = Field(
        default="none",
        description="Ranks that agree, after each pass of a stage, on the largest"
        " numbers from which fp8 scales come: the tensor ranks, or all of the stage"
        " (Transformer Engine's delayed scaling).",
    )
    dispatch_precision: DispatchPrecision = Field(
        default="compute",
        description="Number format in which tokens, and gradients of what comes back,"
        " are sent to experts: that of compute, or fp8 with a scale for every 128"
        " numbers; what experts send is in that of compute.",
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
    gradient_copies: bool = Field(
        default=False,
        description="Whether the optimizer's step copies the gradients that it works on"
        " into one block of their format and one of fp32, as DeepSpeed's ZeRO-1 does;"
        " the allocator keeps the place of both.",
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
