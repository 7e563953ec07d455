"""What sets one kind of transformer apart from another, beside its dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Family = Literal["gpt", "bert", "llama"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """Which operators a block is made of.

    Fields:
        label: what the kind is called; what was measured of one says little of another.
        norm: layer norm (gain and bias) or RMS norm (gain).
        norms: normalisations of the residual stream a block: 1 where attention and
            feed-forward share one, 4 where both also normalise their output [1].
        has_head_norms: whether queries and keys are normalised head by head.
        is_gated: whether the feed-forward part multiplies two branches.
        is_rotary: whether queries and keys are rotated.
        is_causal: whether a token sees only those before it.
        has_dropout: in attention, after it and after the feed-forward part.
        qkv_bias, projection_bias, feed_forward_bias: which matrices have one.
    """

    label: str
    norm: Literal["layer", "rms"]
    norms: int = 2
    has_head_norms: bool = False
    is_gated: bool = False
    is_rotary: bool = False
    is_causal: bool = True
    has_dropout: bool = False
    qkv_bias: bool = False
    projection_bias: bool = False
    feed_forward_bias: bool = False


_GPT = Traits(
    label="gpt",
    norm="layer",
    has_dropout=True,
    qkv_bias=True,
    projection_bias=True,
    feed_forward_bias=True,
)
_BERT = replace(_GPT, label="bert", is_causal=False)
_LLAMA = Traits(label="llama", norm="rms", is_gated=True, is_rotary=True)

TRAITS: Mapping[Family, Traits] = {"gpt": _GPT, "bert": _BERT, "llama": _LLAMA}
"""What a family is made of, unless a shape says otherwise."""

QWEN3 = replace(_LLAMA, label="qwen3", has_head_norms=True)
"""A Llama that normalises queries and keys."""
