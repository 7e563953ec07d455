"""Transformers of any dimensions: GPT, BERT and Llama blocks, layer by layer.

What is modelled is Megatron-LM's block of 2021-22 (fused bias-GELU, fused
bias-dropout-residual, fused scale-mask-softmax; no flash attention) for GPT and BERT,
and the RMSNorm, SwiGLU, rotary, grouped-query block for Llama.

Limits: attention materialises its s x s scores; a causal mask saves no FLOP and no
bytes, as in the kernels of that time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from models.model import Layer, Model
from models.operators import (
    BatchedProduct,
    Elementwise,
    Embedding,
    Linear,
    Operator,
    Split,
)

Family = Literal["gpt", "bert", "llama"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerShape:
    """Dimensions of a transformer.

    Fields:
        family: `gpt`, `bert` or `llama`.
        layers, hidden, heads: L, h, a [1].
        sequence_length: s [tokens].
        vocabulary: V, padded as it is trained [1].
        feed_forward: inner width; 4h for gpt and bert [1].
        kv_heads: key-value heads; a unless grouped [1].
        positions: rows of the learned position table; 0 for rotary [1].
        tied: whether the output layer shares the embedding table.
    """

    family: Family
    layers: int
    hidden: int
    heads: int
    sequence_length: int
    vocabulary: int
    feed_forward: int
    kv_heads: int
    positions: int
    tied: bool


def transformer(name: str, shape: TransformerShape) -> Model:
    """Return the layer table: an embedding, L equal blocks, an output head."""
    block = Layer("block", _block(shape), shape.sequence_length * shape.hidden)
    return Model(
        name=name,
        layers=(_embedding(shape), *([block] * shape.layers), _head(shape)),
        tokens_per_sample=shape.sequence_length,
        sample_bytes=8.0 * shape.sequence_length,
        attention="full" if shape.family == "bert" else "causal",
    )


def _embedding(shape: TransformerShape) -> Layer:
    tokens, hidden = shape.sequence_length, shape.hidden
    operators: list[Operator] = [
        Embedding("word embedding", shape.vocabulary, hidden, tokens)
    ]
    if shape.positions:
        operators.append(
            Embedding(
                "position embedding", shape.positions, hidden, tokens, split=Split.NONE
            )
        )
    if shape.family == "bert":
        operators.append(
            Embedding("token types", 2, hidden, tokens, split=Split.NONE)
        )
        operators.append(_norm("embedding norm", shape))
    if shape.family != "llama":
        operators.append(_dropout("embedding dropout", tokens * hidden, Split.NONE))
    return Layer("embedding", tuple(operators), tokens * hidden, role="embedding")


def _head(shape: TransformerShape) -> Layer:
    tokens, hidden, vocabulary = (
        shape.sequence_length,
        shape.hidden,
        shape.vocabulary,
    )
    before: list[Operator]
    if shape.family == "bert":
        before = [
            Linear("mlm transform", tokens, hidden, hidden),
            _activation("mlm gelu", tokens * hidden, Split.NONE),
            _norm("mlm norm", shape),
        ]
    else:
        before = [_norm("final norm", shape)]
    logits = Linear(
        "logits",
        tokens,
        hidden,
        vocabulary,
        bias=shape.family == "bert",
        split=Split.COLUMN,
        owns_weight=not shape.tied,
    )
    elements = float(tokens * vocabulary)
    # fp16 logits are cast to fp32, then max, exp-sum and normalise pass over them.
    loss = Elementwise(
        "cross entropy",
        forward_bytes=elements * (2 + 4 + 4 + 8 + 8),
        backward_bytes=elements * (8 + 4 + 2),
        kept_bytes=elements * 4,
        split=Split.INNER,
        launches=(10, 4),
        scales=False,
    )
    return Layer(
        "head",
        (*before, logits, loss),
        tokens,
        role="head",
        tied_to="embedding" if shape.tied else None,
    )


def _block(shape: TransformerShape) -> tuple[Operator, ...]:
    attention = _attention(shape)
    if shape.family == "llama":
        return (*attention, *_gated_feed_forward(shape))
    return (*attention, *_feed_forward(shape))


def _attention(shape: TransformerShape) -> tuple[Operator, ...]:
    """Return norm, qkv, rotary, scores, softmax, dropout, context, projection."""
    tokens, hidden, heads = shape.sequence_length, shape.hidden, shape.heads
    head = hidden // heads
    scores = heads * tokens * tokens
    is_llama = shape.family == "llama"
    bias = not is_llama
    qkv_width = hidden + 2 * shape.kv_heads * head
    operators: list[Operator] = [
        _norm("attention norm", shape),
        Linear("qkv", tokens, hidden, qkv_width, bias=bias, split=Split.COLUMN),
        # Splitting and transposing q, k and v (and rotating q and k in Llama).
        Elementwise(
            "qkv layout",
            forward_bytes=4.0 * tokens * qkv_width,
            backward_bytes=4.0 * tokens * qkv_width,
            split=Split.INNER,
            launches=(3, 3),
        ),
        BatchedProduct(
            "scores",
            tokens,
            tokens,
            head,
            heads,
            saved_elements=2 * tokens * hidden,
            is_core_attention=True,
        ),
        Elementwise(
            "softmax",
            forward_bytes=4.0 * scores,
            backward_bytes=6.0 * scores,
            kept_bytes=2.0 * scores,
            split=Split.INNER,
            is_core_attention=True,
        ),
    ]
    if not is_llama:
        operators.append(
            _dropout("attention dropout", scores, Split.INNER, is_core_attention=True)
        )
    operators += [
        BatchedProduct(
            "context",
            tokens,
            head,
            tokens,
            heads,
            saved_elements=(scores if not is_llama else 0) + tokens * hidden,
            is_core_attention=True,
        ),
        Elementwise(
            "context layout",
            forward_bytes=4.0 * tokens * hidden,
            backward_bytes=4.0 * tokens * hidden,
            split=Split.INNER,
        ),
        Linear("projection", tokens, hidden, hidden, bias=bias, split=Split.ROW),
        _residual("attention residual", shape),
    ]
    return tuple(operators)


def _feed_forward(shape: TransformerShape) -> tuple[Operator, ...]:
    tokens, hidden, inner = shape.sequence_length, shape.hidden, shape.feed_forward
    return (
        _norm("mlp norm", shape),
        Linear("fc1", tokens, hidden, inner, split=Split.COLUMN),
        _activation("gelu", tokens * inner, Split.INNER),
        Linear("fc2", tokens, inner, hidden, split=Split.ROW),
        _residual("mlp residual", shape),
    )


def _gated_feed_forward(shape: TransformerShape) -> tuple[Operator, ...]:
    tokens, hidden, inner = shape.sequence_length, shape.hidden, shape.feed_forward
    elements = tokens * inner
    return (
        _norm("mlp norm", shape),
        Linear("gate up", tokens, hidden, 2 * inner, bias=False, split=Split.COLUMN),
        # silu(gate) * up: reads both, writes one; keeps both.
        Elementwise(
            "swiglu",
            forward_bytes=6.0 * elements,
            backward_bytes=10.0 * elements,
            kept_bytes=4.0 * elements,
            split=Split.INNER,
            launches=(2, 4),
        ),
        Linear("down", tokens, inner, hidden, bias=False, split=Split.ROW),
        _residual("mlp residual", shape),
    )


def _norm(name: str, shape: TransformerShape) -> Elementwise:
    elements = shape.sequence_length * shape.hidden
    gains = shape.hidden if shape.family == "llama" else 2 * shape.hidden
    return Elementwise(
        name,
        forward_bytes=4.0 * elements,
        backward_bytes=8.0 * elements,
        kept_bytes=2.0 * elements,
        parameters=gains,
        launches=(1, 2),
    )


def _activation(name: str, elements: int, split: Split) -> Elementwise:
    return Elementwise(
        name,
        forward_bytes=4.0 * elements,
        backward_bytes=6.0 * elements,
        kept_bytes=2.0 * elements,
        split=split,
    )


def _dropout(
    name: str, elements: int, split: Split, *, is_core_attention: bool = False
) -> Elementwise:
    return Elementwise(
        name,
        forward_bytes=5.0 * elements,
        backward_bytes=5.0 * elements,
        kept_bytes=1.0 * elements,
        split=split,
        is_core_attention=is_core_attention,
    )


def _residual(name: str, shape: TransformerShape) -> Elementwise:
    """Return bias + dropout + residual addition, fused; Llama only adds."""
    elements = shape.sequence_length * shape.hidden
    if shape.family == "llama":
        return Elementwise(
            name, forward_bytes=6.0 * elements, backward_bytes=0.0, launches=(1, 0)
        )
    return Elementwise(
        name,
        forward_bytes=7.0 * elements,
        backward_bytes=5.0 * elements,
        kept_bytes=1.0 * elements,
        launches=(1, 2),
    )
