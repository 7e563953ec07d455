"""The table of a plan that says what is trained."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from simulator.plans.fields import (
    MAX_CAPACITY,
    MAX_LAYERS,
    Attention,
    Family,
    Kernels,
)
from simulator.plans.section import Dimension, DimensionOrNone, Section


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
    loss_metrics: DimensionOrNone | None = Field(
        default=None,
        description="Times that metrics compute the loss again in a training step, from"
        " the same logits and without gradients, as torch's cross_entropy does; left"
        " out, none.",
        examples=[2],
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
