"""One transformer block as operators: attention and feed-forward, piece by piece.

Bytes are stated at two bytes an element and a sample, reads and writes of one fused
kernel each. What a block keeps for backward adds up, with h, a, s of one sample, to
s·h·(34 + 5·a·s/h) bytes for GPT and BERT (Korthikanti et al., arXiv:2205.05198,
equation 1), each term at the operator that the paper names.
"""

from __future__ import annotations

from models.attention import attention
from models.feed_forward import feed_forward, mixture
from models.latent_attention import latent_attention
from models.operators import Operator
from models.transformer_elements import norm, residual
from models.transformer_shape import TransformerShape
from models.wiring import INPUT, PREVIOUS, Reads


def block(shape: TransformerShape, *, is_dense: bool = False) -> tuple[Operator, ...]:
    """Return the operators of one block, in Megatron's order (norm first).

    BERT's norms come last instead, which changes no cost.

    Args:
        shape: of the transformer.
        is_dense: whether the block has a plain feed-forward part in any case.
    """
    norms, latent = shape.traits.norms, shape.latent
    has_experts = shape.experts is not None and not is_dense
    attended = latent_attention(shape, latent) if latent else attention(shape)
    return (
        norm("attention norm", shape),
        *attended,
        *(_output_norm("attention output norm", shape) if norms == 4 else ()),
        residual("attention residual", shape),
        *((norm("mlp norm", shape, is_cast=not has_experts),) if norms > 1 else ()),
        *_second_part(shape, is_dense=is_dense),
        *(_output_norm("mlp output norm", shape) if norms == 4 else ()),
        residual("mlp residual", shape),
    )


def reads(shape: TransformerShape, *, is_dense: bool = False) -> Reads:
    """Return what the operators of `block` read that do not read the one before."""
    second = "mlp norm" if shape.traits.norms > 1 else "attention norm"
    has_experts = shape.experts is not None and not is_dense
    first = "router" if has_experts else "gate up" if shape.traits.is_gated else "fc1"
    wires: dict[str, tuple[str, ...]] = {
        "context": (PREVIOUS, "qkv layout"),
        "attention residual": (PREVIOUS, INPUT),
        first: (second,),
        "mlp residual": (PREVIOUS, "attention residual"),
    }
    if shape.latent:
        queries = "q up" if shape.latent.query_rank else "q"
        wires["q"] = ("attention norm",)
        wires["kv norm"] = ("down projection",)
        wires["qkv layout"] = (queries, "kv up", "down projection")
    if has_experts:
        wires["dispatch"] = (second, "routing")
        wires["experts swiglu"] = (PREVIOUS, "routing")
        wires["combine"] = (PREVIOUS, "routing")
        wires["shared gate up"] = (second,)
        wires["shared sum"] = (PREVIOUS, "combine")
    return wires


def _output_norm(name: str, shape: TransformerShape) -> tuple[Operator, ...]:
    """Return a norm that a residual addition reads."""
    return (norm(name, shape, is_cast=False),)


def _second_part(shape: TransformerShape, *, is_dense: bool) -> tuple[Operator, ...]:
    if shape.experts and not is_dense:
        return mixture(shape, shape.experts)
    return feed_forward(shape, keeps_input=shape.traits.norms > 1)
