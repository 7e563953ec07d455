"""The tables of a plan file, as frozen records: what each key means, and its limits.

Here stands what one key may hold; how keys have to fit together is in `checks`.
Attribute names are TOML keys, except `BatchSection.global_`, whose key is `global`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from simulator.plans.fields import (
    MAX_DEVICES,
    MAX_DIMENSION,
    MAX_LAYERS,
    Algorithm,
    Attention,
    Bound,
    Family,
    GradientPrecision,
    Optimizer,
    Precision,
    Quantity,
    Recompute,
    Schedule,
    Scheme,
    Threshold,
    Topology,
)

Dimension = Annotated[int, Field(ge=1, le=MAX_DIMENSION)]
Degree = Annotated[int, Field(ge=1, le=MAX_DEVICES)]

DERIVED = 0  # stands for a degree until the plan has worked it out


class Section(BaseModel):
    """A table of the file: frozen, strict about types, closed to unknown keys."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        defer_build=True,
        allow_inf_nan=False,
    )


class ModelSection(Section):
    """What is trained: a published network, or a family with free dimensions."""

    name: str | None = Field(
        default=None,
        description="A network of the catalogue (`simulate list models`); the"
        " dimensions below then override its own.",
        json_schema_extra={"catalogue": "models"},
    )
    family: Family | None = Field(
        default=None, description="A family whose dimensions are all given here."
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
    widths: Annotated[tuple[Dimension, ...], Field(strict=False)] | None = Field(
        default=None,
        min_length=2,
        max_length=MAX_LAYERS,
        description="Features of an MLP, from its input to its output.",
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


class ParallelismSection(Section):
    """How the work is split: the lengths of the mesh axes, and the pipeline."""

    tensor: Degree = Field(
        default=1, description="Devices that divide each matrix (Megatron), t."
    )
    pipeline: Degree = Field(
        default=1, description="Devices that divide the layers in stages, p."
    )
    data: Degree = Field(
        default=DERIVED,
        description="Replicas, d; left out, all devices are used:"
        " devices / (tensor * pipeline).",
        json_schema_extra=_without_default,
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
    schedule: Schedule = Field(
        default="1f1b", description="Order of micro-batches in the pipeline."
    )
    virtual_stages: Annotated[int, Field(ge=1, le=MAX_LAYERS)] = Field(
        default=1, description="Chunks of layers a pipeline rank holds (interleaved)."
    )
    recompute: Recompute = Field(
        default="none",
        description="Activations dropped in forward and computed again in backward.",
    )


def _gradient_precision(training: dict[str, Any]) -> GradientPrecision:
    precision: Precision = training["precision"]
    return "fp32" if precision == "tf32" else precision


class TrainingSection(Section):
    """Number formats and the optimizer."""

    precision: Precision = Field(
        default="bf16", description="Number format of compute, which sets the peak."
    )
    gradient_precision: GradientPrecision = Field(
        default_factory=_gradient_precision,
        description="Number format in which gradients are summed; left out, that of"
        " compute (fp32 for tf32).",
    )
    optimizer: Optimizer = Field(
        default="adam", description="Sets the optimizer state in memory."
    )


class SynchronizationSection(Section):
    """How replicas agree on the weights."""

    scheme: Scheme = Field(
        default="all-reduce", description="Synchronous data parallelism."
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
        description="Gradients fused into one all-reduce.",
        json_schema_extra={"default": "25 MB"},
    )


class NetworkSection(Section):
    """What joins the nodes."""

    topology: Topology = Field(
        default="switch", description="A non-blocking switch, and no other yet."
    )
    link: str = Field(
        description="Link of one adapter (`simulate list links`).",
        examples=["infiniband-hdr"],
        json_schema_extra={"catalogue": "links"},
    )
    adapters_per_node: Annotated[int, Field(ge=1, le=MAX_DEVICES)] = Field(
        default=1, description="Network adapters of a node."
    )
    bandwidth: Annotated[float | None, Quantity("B/s")] = Field(
        default=None,
        description="Of one adapter and direction; replaces the link's own.",
    )
    latency: Annotated[float | None, Quantity("s", is_positive=False)] = Field(
        default=None, description="Of an empty message; replaces the link's own."
    )


class ClusterSection(Section):
    """The hardware that the plan runs on."""

    device: str = Field(
        description="The accelerator (`simulate list devices`).",
        examples=["a100-sxm4-80gb"],
        json_schema_extra={"catalogue": "devices"},
    )
    nodes: Degree = Field(default=1, description="Hosts.")
    devices_per_node: Degree = Field(default=1, description="Accelerators in a host.")
    fabric: str | None = Field(
        default=None,
        description="Link between the devices of a node (`simulate list links`);"
        " needed when there are several.",
        json_schema_extra={"catalogue": "links"},
    )
    network: NetworkSection | None = Field(
        default=None,
        description="Link between nodes; needed when there are several.",
    )

    @property
    def num_devices(self) -> int:
        """Accelerators in all nodes [1]."""
        return self.nodes * self.devices_per_node


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


SECTIONS: dict[str, type[Section]] = {
    "model": ModelSection,
    "batch": BatchSection,
    "parallelism": ParallelismSection,
    "training": TrainingSection,
    "synchronization": SynchronizationSection,
    "cluster": ClusterSection,
    "cluster.network": NetworkSection,
    "expect": ExpectSection,
}
TEXTS = ("title", "description")


def keys_of(section: type[Section]) -> list[str]:
    """Return the TOML keys of `section`, in order."""
    fields = section.model_fields.items()
    return [field.alias or name for name, field in fields]


def keys_in(table: str) -> list[str]:
    """Return the keys that may stand in `table`; the top of the file is ''."""
    if table:
        return keys_of(SECTIONS[table])
    return [*TEXTS, *(name for name in SECTIONS if "." not in name)]


def plan_keys() -> list[str]:
    """Return every dotted key of a plan that holds a value."""
    keys = [f"{table}.{key}" for table in SECTIONS for key in keys_in(table)]
    return [*TEXTS, *(key for key in keys if key not in SECTIONS)]
