"""Attention as operators: from the residual stream to the projected context.

Limits: keys and values of grouped heads are repeated to all heads before attention,
as without a fused kernel; a bias is added, and its gradient summed, for nothing.
"""

from __future__ import annotations

from models.flash_attention import FlashAttention
from models.functions import HeadGains, HeadNorm, Heads, JoinedHeads
from models.kernel_bytes import ROTATION, ROTATION_APART
from models.operators import BatchedProduct, Elementwise, Linear, Operator, Split
from models.softmax import MaskedSoftmax
from models.transformer_elements import dropout, norm_of
from models.transformer_shape import TransformerShape


def attention(shape: TransformerShape) -> tuple[Operator, ...]:
    """Return qkv, layout, core attention, layout and projection."""
    tokens, hidden, traits = shape.sequence_length, shape.hidden, shape.traits
    width = shape.heads * shape.head
    qkv_width = width + 2 * shape.kv_heads * shape.head
    bias = traits.qkv_bias
    keys = shape.kv_heads * shape.head
    return (
        Linear(
            "qkv",
            tokens,
            hidden,
            qkv_width,
            bias=bias,
            split=Split.COLUMN,
            parts=(width, keys, keys),
            is_apart=shape.multiplies_apart,
        ),
        *_head_norms(shape),
        _qkv_layout(shape, qkv_width),
        *core_attention(shape, shape.head, shape.head),
        *project(shape, width),
    )


def project(shape: TransformerShape, width: int) -> tuple[Operator, ...]:
    """Return the transposing of the heads and the projection of the context.

    Args:
        shape: of the transformer.
        width: of the context of all heads [1].
    """
    tokens = shape.sequence_length
    bias = shape.traits.projection_bias
    return (
        # Transposes the heads back: reads and writes once.
        Elementwise(
            "context layout",
            forward_bytes=4.0 * tokens * width,
            backward_bytes=4.0 * tokens * width,
            split=Split.INNER,
            function=JoinedHeads(),
        ),
        Linear("projection", tokens, width, shape.hidden, bias=bias, split=Split.ROW),
    )


def _head_norms(shape: TransformerShape) -> tuple[Operator, ...]:
    """Return the normalisation of queries and keys.

    All heads share two gains, which every tensor rank holds whole.
    """
    if not shape.traits.has_head_norms:
        return ()
    heads = shape.heads + shape.kv_heads
    elements = shape.sequence_length * heads * shape.head
    gains = 2 * shape.head
    group = (shape.heads // shape.kv_heads, shape.head)
    return (
        norm_of("head norms", elements, 0, HeadNorm(*group), Split.INNER),
        Elementwise(
            "head gains",
            0.0,
            0.0,
            parameters=gains,
            launches=(0, 0),
            function=HeadGains(*group),
        ),
    )


def _qkv_layout(shape: TransformerShape, qkv_width: int) -> Elementwise:
    """Return the splitting and transposing of q, k and v.

    Without rotation strided views go to the products; backward gathers their three
    gradients into one. With it, q and k are rotated and grouped k and v repeated: it
    reads the product and writes three tensors of all heads. All keep the three, here
    and not at core attention, because repeating that needs them.
    """
    tokens, width = shape.sequence_length, shape.heads * shape.head
    is_rotary = shape.traits.is_rotary
    moved = 2.0 * tokens * (qkv_width + 3 * width)
    kept = 6.0 * tokens * width
    rotated = tokens * (width + shape.kv_heads * shape.head)
    if is_rotary and shape.kernels == "engine":
        # Views of q, k and v go to attention, which knows of groups.
        moved, kept = ROTATION * rotated, 2.0 * tokens * qkv_width
    elif is_rotary and shape.kernels != "library":
        # k and v are copied to all heads if there are fewer.
        copied = 4.0 * rotated if shape.kv_heads < shape.heads else 0.0
        moved = ROTATION_APART * rotated + copied
    return Elementwise(
        "qkv layout",
        forward_bytes=moved if is_rotary else 0.0,
        backward_bytes=moved,
        kept_bytes=kept,
        split=Split.INNER,
        launches=(3, 3) if is_rotary else (0, 1),
        function=Heads(shape.heads // shape.kv_heads, shape.head, is_rotary),
    )


def core_attention(
    shape: TransformerShape, key_width: int, value_width: int
) -> tuple[Operator, ...]:
    """Return what selective recomputation drops and repeats.

    Args:
        shape: of the transformer.
        key_width: features of a head's query and key [1].
        value_width: features of a head's value [1].
    """
    tokens, heads = shape.sequence_length, shape.heads
    is_causal, has_dropout = shape.traits.is_causal, shape.traits.has_dropout
    if shape.attention == "flash":
        return (
            FlashAttention(
                "attention",
                heads,
                tokens,
                key_width,
                is_causal,
                value_width,
                shape.kv_heads,
            ),
        )
    scores = heads * tokens * tokens
    softmax = MaskedSoftmax("softmax", heads, tokens, is_causal)
    drop = dropout("attention dropout", scores, Split.INNER, scores_row=tokens)
    return (
        BatchedProduct(
            "scores",
            tokens,
            tokens,
            key_width,
            heads,
            saved_elements=0,
            is_core_attention=True,
        ),
        softmax,
        *((drop,) if has_dropout else ()),
        # Keeps the dropped-out probabilities; without dropout softmax keeps them.
        BatchedProduct(
            "context",
            tokens,
            value_width,
            tokens,
            heads,
            saved_elements=scores if has_dropout else 0,
            is_core_attention=True,
        ),
    )
