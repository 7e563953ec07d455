"""The dimensions of a transformer from the keys of a plan: all of them, or a few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, cast

from models.overrides import boolean, integer, number, refuse_unknown, require
from models.published import gpt, llama
from models.transformer_shape import (
    Attention,
    Experts,
    Kernels,
    Latent,
    TransformerShape,
)

_DIMENSIONS = (
    "layers",
    "hidden",
    "heads",
    "kv_heads",
    "head_width",
    "feed_forward",
    "sequence_length",
    "vocabulary",
)
_EXPERT_KEYS = tuple(field.name for field in fields(Experts))
_LATENT_KEYS = tuple(field.name for field in fields(Latent))
TRANSFORMER_KEYS = (
    *_DIMENSIONS,
    *_EXPERT_KEYS,
    *_LATENT_KEYS,
    "attention",
    "kernels",
    "fused_loss",
    "loss_metrics",
    "dropout",
)
_FROM_ZERO = ("loss_metrics", "shared_experts", "dense_layers", "query_rank")


def free_shape(family: str, changes: Mapping[str, object]) -> TransformerShape:
    """Return the dimensions of a transformer of a family, all given.

    Args:
        family: `gpt`, `bert` or `llama`.
        changes: `TRANSFORMER_KEYS` by name.
    """
    refuse_unknown(family, changes, allowed=TRANSFORMER_KEYS)
    needed = ["layers", "hidden", "heads", "sequence_length", "vocabulary"]
    if family == "llama":
        needed.append("feed_forward")
    require(family, changes, needed)
    dims = _checked(changes)
    layers, hidden, heads = dims["layers"], dims["hidden"], dims["heads"]
    tokens, vocabulary = dims["sequence_length"], dims["vocabulary"]
    if family == "llama":
        inner = dims["feed_forward"]
        plain = llama(layers, hidden, 1, 1, inner, tokens, vocabulary)
    else:
        plain = gpt(layers, hidden, 1, tokens, vocabulary, family=family)
    grouped = dims.get("kv_heads", heads)
    return _changed(plain, {**dims, "kv_heads": grouped})


def replaced_shape(
    name: str, shape: TransformerShape, changes: Mapping[str, object]
) -> TransformerShape:
    """Return `shape` with `changes` and with what follows from them.

    Feed-forward stays 4h for gpt and bert. Key-value heads follow the heads unless
    they are grouped. A longer sequence lengthens the learned position table. Experts
    as wide as the feed-forward part stay so.

    Args:
        name: of the model.
        shape: its own dimensions.
        changes: `TRANSFORMER_KEYS` by name.
    """
    refuse_unknown(name, changes, allowed=TRANSFORMER_KEYS)
    dims = _checked(changes)
    if "hidden" in dims and "feed_forward" not in dims:
        if shape.family == "llama" and dims["hidden"] != shape.hidden:
            raise ValueError(
                f"feed_forward: {shape.feed_forward} belongs to hidden {shape.hidden}; "
                f"give feed_forward with hidden {dims['hidden']}"
            )
        if shape.family != "llama":
            dims["feed_forward"] = 4 * dims["hidden"]
    if shape.kv_heads == shape.heads:
        dims.setdefault("kv_heads", dims.get("heads", shape.heads))
    tokens = dims.get("sequence_length", shape.sequence_length)
    dims["positions"] = max(shape.positions, tokens) if shape.positions else 0
    _widen_experts(shape, dims)
    return _changed(shape, dims)


def _widen_experts(shape: TransformerShape, dims: dict[str, Any]) -> None:
    """Let experts follow the feed-forward part that they stand for."""
    experts = shape.experts
    if experts is None or "feed_forward" not in dims:
        return
    if experts.expert_feed_forward == shape.feed_forward:
        dims.setdefault("expert_feed_forward", dims["feed_forward"])
    elif not dims.get("dense_layers", experts.dense_layers) and "hidden" not in dims:
        raise ValueError(
            "feed_forward: every block has experts instead; change expert_feed_forward"
        )


def _checked(changes: Mapping[str, object]) -> dict[str, Any]:
    """Return `changes` with each value of its own kind."""
    return {key: _value(key, value) for key, value in changes.items()}


def _value(key: str, value: object) -> object:
    if key == "attention":
        return cast("Attention", value)
    if key == "kernels":
        return cast("Kernels", value)
    if key in {"dropout", "fused_loss"}:
        return boolean(key, value)
    if key == "capacity_factor":
        return number(key, value)
    return integer(key, value, least=0 if key in _FROM_ZERO else 1)


def _changed(shape: TransformerShape, dims: dict[str, Any]) -> TransformerShape:
    """Return `shape` with checked dimensions, of itself and of its parts."""
    inner = dims.get("feed_forward", shape.feed_forward)
    if "dropout" in dims:
        has_dropout = dims.pop("dropout")
        dims["variant"] = replace(shape.traits, has_dropout=has_dropout)
    of_experts = {key: dims.pop(key) for key in _EXPERT_KEYS if key in dims}
    of_latent = {key: dims.pop(key) for key in _LATENT_KEYS if key in dims}
    return replace(
        shape,
        experts=_experts(shape.experts, of_experts, inner),
        latent=_latent(shape.latent, of_latent),
        **dims,
    )


def _experts(
    experts: Experts | None, given: dict[str, Any], feed_forward: int
) -> Experts | None:
    if experts is not None:
        return replace(experts, **given)
    if not given:
        return None
    require("a mixture of experts", given, ("experts", "top_k"))
    return Experts(**{"expert_feed_forward": feed_forward, **given})


def _latent(latent: Latent | None, given: dict[str, Any]) -> Latent | None:
    if latent is not None:
        return replace(latent, **given)
    if not given:
        return None
    needed = [key for key in _LATENT_KEYS if key != "query_rank"]
    require("latent attention", given, needed)
    return Latent(**{"query_rank": 0, **given})
