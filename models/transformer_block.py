"""One transformer block as operators: attention and feed-forward, piece by piece.

Bytes are stated at two bytes an element and a sample, reads and writes of one fused
kernel each. What a block keeps for backward adds up, with h, a, s of one sample, to
s·h·(34 + 5·a·s/h) bytes for GPT and BERT (Korthikanti et al., arXiv:2205.05198,
equation 1), each term at the operator that the paper names.

Limits: keys and values of grouped heads are repeated to all heads before attention,
as without a fused kernel; a bias is added, and its gradient summed, for nothing.
"""

from __future__ import annotations

from models.flash_attention import FlashAttention
from models.operators import BatchedProduct, Elementwise, Linear, Operator, Split
from models.softmax import MaskedSoftmax, scores_kind
from models.transformer_shape import TransformerShape


def block(shape: TransformerShape) -> tuple[Operator, ...]:
    """Return the operators of one block, in Megatron's order (norm first).

    BERT's norms come last instead, which changes no cost.
    """
    if shape.family == "llama":
        return (*_attention(shape), *_gated_feed_forward(shape))
    return (*_attention(shape), *_feed_forward(shape))


def _attention(shape: TransformerShape) -> tuple[Operator, ...]:
    """Return norm, qkv, layout, core attention, projection, residual."""
    tokens, hidden = shape.sequence_length, shape.hidden
    bias = shape.family != "llama"
    qkv_width = hidden + 2 * shape.kv_heads * (hidden // shape.heads)
    return (
        norm("attention norm", shape),
        Linear("qkv", tokens, hidden, qkv_width, bias=bias, split=Split.COLUMN),
        _qkv_layout(shape, qkv_width),
        *_core_attention(shape),
        # Transposes the heads back: reads and writes once.
        Elementwise(
            "context layout",
            forward_bytes=4.0 * tokens * hidden,
            backward_bytes=4.0 * tokens * hidden,
            split=Split.INNER,
        ),
        Linear("projection", tokens, hidden, hidden, bias=bias, split=Split.ROW),
        _residual("attention residual", shape),
    )


def _qkv_layout(shape: TransformerShape, qkv_width: int) -> Elementwise:
    """Return the splitting and transposing of q, k and v.

    GPT and BERT hand strided views to the products; backward gathers their three
    gradients into one. Llama rotates q and k and repeats grouped k and v: it reads
    the product and writes three tensors of h a token. All keep the three, here and
    not at core attention, because repeating that needs them.
    """
    tokens, hidden = shape.sequence_length, shape.hidden
    is_llama = shape.family == "llama"
    moved = 2.0 * tokens * (qkv_width + 3 * hidden)
    return Elementwise(
        "qkv layout",
        forward_bytes=moved if is_llama else 0.0,
        backward_bytes=moved,
        kept_bytes=6.0 * tokens * hidden,
        split=Split.INNER,
        launches=(3, 3) if is_llama else (0, 1),
    )


def _core_attention(shape: TransformerShape) -> tuple[Operator, ...]:
    """Return what selective recomputation drops and repeats."""
    tokens, heads = shape.sequence_length, shape.heads
    head = shape.hidden // heads
    is_causal = shape.family != "bert"
    if shape.attention == "flash":
        return (FlashAttention("attention", heads, tokens, head, is_causal),)
    scores = heads * tokens * tokens
    has_dropout = shape.family != "llama"
    softmax = MaskedSoftmax("softmax", heads, tokens, is_causal)
    drop = dropout("attention dropout", scores, Split.INNER, scores_row=tokens)
    return (
        BatchedProduct(
            "scores",
            tokens,
            tokens,
            head,
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
            head,
            tokens,
            heads,
            saved_elements=scores if has_dropout else 0,
            is_core_attention=True,
        ),
    )


def _feed_forward(shape: TransformerShape) -> tuple[Operator, ...]:
    tokens, hidden, inner = shape.sequence_length, shape.hidden, shape.feed_forward
    return (
        norm("mlp norm", shape),
        Linear("fc1", tokens, hidden, inner, split=Split.COLUMN),
        activation("gelu", tokens * inner, Split.INNER),
        Linear("fc2", tokens, inner, hidden, split=Split.ROW),
        _residual("mlp residual", shape),
    )


def _gated_feed_forward(shape: TransformerShape) -> tuple[Operator, ...]:
    tokens, hidden, inner = shape.sequence_length, shape.hidden, shape.feed_forward
    elements = tokens * inner
    return (
        norm("mlp norm", shape),
        Linear("gate up", tokens, hidden, 2 * inner, bias=False, split=Split.COLUMN),
        # silu(gate) * up: reads both, writes one; backward reads both and the gradient
        # and writes two; keeps both.
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


def norm(name: str, shape: TransformerShape) -> Elementwise:
    """Return a layer norm, or Llama's RMS norm.

    Reads and writes once. Backward reads input and gradient and writes one, then
    reads both again for gain and bias. Keeps the input.
    """
    elements = shape.sequence_length * shape.hidden
    return Elementwise(
        name,
        forward_bytes=4.0 * elements,
        backward_bytes=10.0 * elements,
        kept_bytes=2.0 * elements,
        parameters=shape.hidden if shape.family == "llama" else 2 * shape.hidden,
        launches=(1, 2),
    )


def activation(name: str, elements: int, split: Split) -> Elementwise:
    """Return a GELU: reads and writes once; keeps the input, which backward reads."""
    return Elementwise(
        name,
        forward_bytes=4.0 * elements,
        backward_bytes=6.0 * elements,
        kept_bytes=2.0 * elements,
        split=split,
    )


def dropout(
    name: str, elements: int, split: Split, *, scores_row: int = 0
) -> Elementwise:
    """Return a dropout: reads and writes once; keeps a mask of one byte an element.

    Inside attention Megatron forks the random state, which the host pays like another
    kernel.

    Args:
        name: of the operator.
        elements: a sample [1].
        split: how tensor parallelism divides them.
        scores_row: length of a row of attention scores; 0 outside attention [1].
    """
    return Elementwise(
        name,
        forward_bytes=4.0 * elements,
        backward_bytes=4.0 * elements,
        mask_bytes=1.0 * elements,
        split=split,
        launches=(2, 1) if scores_row else (1, 1),
        is_core_attention=scores_row > 0,
        kind=scores_kind(scores_row),
    )


def _residual(name: str, shape: TransformerShape) -> Elementwise:
    """Return bias + dropout + residual addition, fused; Llama only adds.

    Forward reads two and writes one, and the mask. Backward applies the mask (reads
    and writes once) and adds the gradients of the two branches (reads two, writes
    one).
    """
    elements = shape.sequence_length * shape.hidden
    if shape.family == "llama":
        return Elementwise(
            name, forward_bytes=6.0 * elements, backward_bytes=6.0 * elements
        )
    return Elementwise(
        name,
        forward_bytes=6.0 * elements,
        backward_bytes=10.0 * elements,
        mask_bytes=1.0 * elements,
        launches=(1, 2),
    )
