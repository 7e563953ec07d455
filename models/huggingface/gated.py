"""Architectures like Llama: RMS norms, gated feed-forward, rotation, no dropout."""

from __future__ import annotations

from dataclasses import replace

from models.huggingface.draft import Draft, drafted, num_heads
from models.huggingface.values import ConfigValues
from models.transformer_shape import Experts, Latent
from models.transformer_traits import QWEN3, TRAITS, Traits

_LLAMA = TRAITS["llama"]


def llama_like(
    values: ConfigValues,
    traits: Traits = _LLAMA,
    *,
    kv_heads: int | None = None,
    head_width: int = 0,
    is_tied: bool = False,
) -> Draft:
    """Return a Llama, or one of its kin.

    Args:
        values: of the file.
        traits: of it, before the file's own biases.
        kv_heads: where the file is silent; None if it has to say [1].
        head_width: the same [1].
        is_tied: the same.
    """
    has_bias = values.flag("attention_bias", default=False)
    own = replace(
        traits,
        qkv_bias=traits.qkv_bias or has_bias,
        projection_bias=has_bias,
        feed_forward_bias=values.flag("mlp_bias", default=False),
    )
    return drafted(
        values,
        family="llama",
        traits=own,
        kv_heads=values.integer("num_key_value_heads", kv_heads),
        head_width=values.integer("head_dim", head_width, least=0),
        is_tied=is_tied,
    )


def llama(values: ConfigValues) -> Draft:
    """Return a Llama."""
    return llama_like(values, kv_heads=num_heads(values))


def phi3(values: ConfigValues) -> Draft:
    """Return a Phi-3."""
    traits = replace(_LLAMA, label="phi3")
    return llama_like(values, traits, kv_heads=num_heads(values))


def mixtral(values: ConfigValues) -> Draft:
    """Return a Mixtral."""
    draft = llama_like(values)
    experts = Experts(
        experts=values.integer("num_local_experts"),
        top_k=values.integer("num_experts_per_tok"),
        expert_feed_forward=draft.shape.feed_forward,
    )
    return draft._replace(shape=replace(draft.shape, experts=experts))


def qwen2(values: ConfigValues) -> Draft:
    """Return a Qwen2, whose q, k and v have a bias."""
    return llama_like(values, replace(_LLAMA, label="qwen2", qkv_bias=True))


def qwen3(values: ConfigValues) -> Draft:
    """Return a Qwen3."""
    return llama_like(values, QWEN3, head_width=128)


def qwen3_moe(values: ConfigValues) -> Draft:
    """Return a Qwen3 with experts in every block."""
    values.refuse("decoder_sparse_step", 1)
    values.refuse("mlp_only_layers", [])
    draft = qwen3(values)
    experts = Experts(
        experts=values.integer("num_experts"),
        top_k=values.integer("num_experts_per_tok"),
        expert_feed_forward=values.integer("moe_intermediate_size"),
    )
    return draft._replace(shape=replace(draft.shape, experts=experts))


def deepseek(values: ConfigValues) -> Draft:
    """Return a DeepSeek-V2 or V3."""
    values.refuse("moe_layer_freq", 1)
    values.refuse("attention_bias", False)
    draft = drafted(values, family="llama", traits=_LLAMA, kv_heads=num_heads(values))
    latent = Latent(
        query_rank=values.integer("q_lora_rank", 0, least=0),
        kv_rank=values.integer("kv_lora_rank"),
        plain_width=values.integer("qk_nope_head_dim"),
        rotary_width=values.integer("qk_rope_head_dim"),
        value_width=values.integer("v_head_dim"),
    )
    experts = Experts(
        experts=values.integer("n_routed_experts"),
        top_k=values.integer("num_experts_per_tok"),
        expert_feed_forward=values.integer("moe_intermediate_size"),
        shared_experts=values.integer("n_shared_experts", 0, least=0),
        dense_layers=values.integer("first_k_dense_replace", 0, least=0),
    )
    shape = replace(draft.shape, latent=latent, experts=experts)
    return draft._replace(shape=shape)


def gemma(values: ConfigValues) -> Draft:
    """Return a Gemma."""
    traits = replace(_LLAMA, label="gemma")
    return llama_like(values, traits, head_width=256, is_tied=True)


def gemma2(values: ConfigValues) -> Draft:
    """Return a Gemma 2, whose blocks have four norms."""
    traits = replace(_LLAMA, label="gemma2", norms=4)
    return llama_like(values, traits, head_width=256, is_tied=True)
