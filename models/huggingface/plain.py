"""Architectures like GPT: layer norms and two matrices in the feed-forward part."""

from __future__ import annotations

from dataclasses import replace

from models.huggingface.draft import Draft, drafted, num_heads
from models.huggingface.values import ConfigValues
from models.transformer_traits import TRAITS

_GPT = TRAITS["gpt"]


def bert(values: ConfigValues) -> Draft:
    """Return a BERT with its pre-training heads."""
    return drafted(
        values,
        family="bert",
        traits=TRAITS["bert"],
        kv_heads=num_heads(values),
        is_tied=True,
        extra_positions=0,
    )


def gpt2(values: ConfigValues) -> Draft:
    """Return a GPT-2, whose keys have names of their own."""
    names = {
        "num_hidden_layers": "n_layer",
        "hidden_size": "n_embd",
        "num_attention_heads": "n_head",
        "max_position_embeddings": "n_positions",
    }
    for name in names.values():
        values.integer(name)
    content = {
        **values.content,
        **{ours: values.content[n] for ours, n in names.items()},
    }
    return drafted(
        ConfigValues(content),
        family="gpt",
        traits=_GPT,
        kv_heads=values.integer("n_head"),
        feed_forward=values.integer("n_inner", 4 * values.integer("n_embd")),
        is_tied=True,
        extra_positions=0,
    )


def opt(values: ConfigValues) -> Draft:
    """Return an OPT, whose position table has two rows more than a sample tokens."""
    values.refuse("word_embed_proj_dim", values.integer("hidden_size"))
    values.refuse("do_layer_norm_before", True)
    return drafted(
        values,
        family="gpt",
        traits=_GPT,
        kv_heads=num_heads(values),
        feed_forward=values.integer("ffn_dim"),
        is_tied=True,
        extra_positions=2,
    )


def gpt_neox(values: ConfigValues) -> Draft:
    """Return a GPT-NeoX; attention and feed-forward side by side cost the same."""
    has_bias = values.flag("attention_bias", default=True)
    traits = replace(
        _GPT,
        label="gpt-neox",
        is_rotary=True,
        has_dropout=False,
        qkv_bias=has_bias,
        projection_bias=has_bias,
    )
    return drafted(values, family="gpt", traits=traits, kv_heads=num_heads(values))


def falcon(values: ConfigValues) -> Draft:
    """Return a Falcon: one key-value head, or groups in its later architecture."""
    is_new = values.flag("new_decoder_architecture", default=False)
    is_parallel = is_new or values.flag("parallel_attn", default=True)
    norms = values.integer("num_ln_in_parallel_attn", 2) if is_new else 1
    has_bias = values.flag("bias", default=False)
    traits = replace(
        _GPT,
        label="falcon",
        norms=norms if is_parallel else 2,
        is_rotary=not values.flag("alibi", default=False),
        has_dropout=False,
        qkv_bias=has_bias,
        projection_bias=has_bias,
        feed_forward_bias=has_bias,
    )
    heads = num_heads(values)
    single = 1 if values.flag("multi_query", default=True) else heads
    return drafted(
        values,
        family="gpt",
        traits=traits,
        kv_heads=values.integer("num_kv_heads", heads) if is_new else single,
        feed_forward=values.integer(
            "ffn_hidden_size", 4 * values.integer("hidden_size")
        ),
        is_tied=True,
    )
