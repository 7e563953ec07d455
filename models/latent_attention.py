"""Multi-head latent attention (MLA): keys and values from one narrow vector a token.

The input is projected down to a latent vector for queries, one for keys and values,
and a rotated key that all heads share; the latent vectors are normalised and projected
up to heads. Down projections are replicated over tensor ranks, those up are divided.

Limits: for training: keys and values of all heads are written out, as in the forward
pass of a prompt; the absorbed form of decoding is not modelled. The two down
projections are one product, so that their common input is read and kept once.

Source: DeepSeek-V2, arXiv:2405.04434, section 2.1; the replicated down projections,
Megatron-LM's MLASelfAttention; both from memory.
"""

from __future__ import annotations

from models.attention import core_attention, project
from models.functions import LatentHeads, Normalisation
from models.operators import Elementwise, Linear, Operator, Split
from models.transformer_elements import norm_of
from models.transformer_shape import Latent, TransformerShape


def latent_attention(shape: TransformerShape, latent: Latent) -> tuple[Operator, ...]:
    """Return projections down and up, layout, core attention and projection."""
    return (
        *_queries_and_latent(shape, latent),
        *_keys_and_values(shape, latent),
        _layout(shape, latent),
        *core_attention(shape, latent.key_width, latent.value_width),
        *project(shape, shape.heads * latent.value_width),
    )


def _queries_and_latent(
    shape: TransformerShape, latent: Latent
) -> tuple[Operator, ...]:
    """Return what makes the queries, and the latent vector of keys and values."""
    tokens, hidden = shape.sequence_length, shape.hidden
    rank, queries = latent.query_rank, shape.heads * latent.key_width
    down_width = rank + latent.kv_rank + latent.rotary_width
    down = Linear("down projection", tokens, hidden, down_width, bias=False)
    if not rank:
        up = Linear(
            "q",
            tokens,
            hidden,
            queries,
            bias=False,
            split=Split.COLUMN,
            keeps_input=False,
        )
        return down, up
    return (
        down,
        norm_of("q norm", tokens * rank, rank, Normalisation("rms", rank)),
        Linear("q up", tokens, rank, queries, bias=False, split=Split.COLUMN),
    )


def _keys_and_values(shape: TransformerShape, latent: Latent) -> tuple[Operator, ...]:
    tokens, rank = shape.sequence_length, latent.kv_rank
    width = shape.heads * (latent.plain_width + latent.value_width)
    function = Normalisation("rms", rank, start=latent.query_rank)
    return (
        norm_of("kv norm", tokens * rank, rank, function),
        Linear("kv up", tokens, rank, width, bias=False, split=Split.COLUMN),
    )


def _layout(shape: TransformerShape, latent: Latent) -> Elementwise:
    """Return the rotation, and the joining of plain and rotated parts for every head.

    Reads the products and the shared key, writes q, k and v of all heads and keeps
    them; backward does the reverse.
    """
    tokens, heads = shape.sequence_length, shape.heads
    read = heads * (latent.key_width + latent.plain_width + latent.value_width)
    written = heads * (2 * latent.key_width + latent.value_width)
    moved = 2.0 * tokens * (read + latent.rotary_width + written)
    return Elementwise(
        "qkv layout",
        forward_bytes=moved,
        backward_bytes=moved,
        kept_bytes=2.0 * tokens * written,
        split=Split.INNER,
        launches=(3, 3),
        function=LatentHeads(
            latent.plain_width, latent.rotary_width, latent.value_width
        ),
    )
