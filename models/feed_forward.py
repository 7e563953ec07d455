"""The feed-forward part of a transformer block: plain, gated, or a mixture of experts.

Limits: a router's scores are in fp32; auxiliary losses and groups of experts cost
nothing; a correction bias that is set and not trained is no parameter.
"""

from __future__ import annotations

from math import ceil

from models.functions import Addition, Routing
from models.mixture import ExpertLinear, TokenExchange
from models.operators import Elementwise, Linear, Operator, Split
from models.transformer_elements import activation, gate
from models.transformer_shape import Experts, TransformerShape

_ROUTING_LAUNCHES = (6, 4)


def feed_forward(
    shape: TransformerShape, *, keeps_input: bool = True
) -> tuple[Operator, ...]:
    """Return the two matrices and what is between them.

    Args:
        shape: of the transformer.
        keeps_input: whether no other operator keeps the same input.
    """
    if shape.traits.is_gated:
        return _gated(shape, shape.feed_forward, "", keeps_input=keeps_input)
    tokens, hidden, inner = shape.sequence_length, shape.hidden, shape.feed_forward
    bias = shape.traits.feed_forward_bias
    return (
        Linear(
            "fc1",
            tokens,
            hidden,
            inner,
            bias=bias,
            split=Split.COLUMN,
            keeps_input=keeps_input,
            casts_gradient=False,
        ),
        activation("gelu", tokens * inner, Split.INNER),
        Linear("fc2", tokens, inner, hidden, bias=bias, split=Split.ROW),
    )


def _gated(
    shape: TransformerShape, inner: int, prefix: str, *, keeps_input: bool
) -> tuple[Operator, ...]:
    tokens, hidden = shape.sequence_length, shape.hidden
    bias = shape.traits.feed_forward_bias
    return (
        Linear(
            f"{prefix}gate up",
            tokens,
            hidden,
            2 * inner,
            bias=bias,
            split=Split.COLUMN,
            keeps_input=keeps_input,
            parts=(inner, inner),
            is_apart=shape.multiplies_apart,
            casts_gradient=False,
        ),
        gate(f"{prefix}swiglu", tokens, inner, shape.kernels),
        Linear(f"{prefix}down", tokens, inner, hidden, bias=bias, split=Split.ROW),
    )


def mixture(shape: TransformerShape, experts: Experts) -> tuple[Operator, ...]:
    """Return router, dispatch, experts, combine, and the shared experts beside them.

    The router keeps the input for all that read it.
    """
    tokens, hidden = shape.sequence_length, shape.hidden
    copies, capacity = experts.top_k, experts.capacity_factor
    exchanged = (tokens, hidden, copies, experts.experts, capacity)
    return (
        Linear("router", tokens, hidden, experts.experts, bias=False),
        _routing(tokens * experts.experts, Routing(experts.experts, copies)),
        TokenExchange("dispatch", "dispatch", *exchanged),
        *_routed(shape, experts),
        TokenExchange("combine", "combine", *exchanged),
        *_shared(shape, experts),
    )


def _routing(scores: int, function: Routing) -> Elementwise:
    """Return the choice of experts from the router's scores.

    To fp32 (6 bytes a score), their softmax or sigmoid (8), the largest k (4), and the
    counting and sorting by expert, of which launches are all the cost. Backward reads
    the kept fp32 weights and writes gradients at two bytes (10).
    """
    return Elementwise(
        "routing",
        forward_bytes=18.0 * scores,
        backward_bytes=10.0 * scores,
        kept_bytes=4.0 * scores,
        launches=_ROUTING_LAUNCHES,
        scales=False,
        function=function,
    )


def _routed(shape: TransformerShape, experts: Experts) -> tuple[Operator, ...]:
    rows = shape.sequence_length * experts.top_k
    hidden, inner = shape.hidden, experts.expert_feed_forward
    count, active = experts.experts, experts.top_k
    capacity = experts.capacity_factor
    up = ExpertLinear(
        "experts gate up",
        rows,
        hidden,
        2 * inner,
        count,
        active,
        Split.COLUMN,
        capacity,
    )
    down = ExpertLinear(
        "experts down", rows, inner, hidden, count, active, Split.ROW, capacity
    )
    return up, gate("experts swiglu", ceil(rows * capacity), inner, shape.kernels), down


def _shared(shape: TransformerShape, experts: Experts) -> tuple[Operator, ...]:
    """Return the experts that every token uses, and the sum of both results."""
    if not experts.shared_experts:
        return ()
    elements = shape.sequence_length * shape.hidden
    inner = experts.shared_experts * experts.expert_feed_forward
    return (
        *_gated(shape, inner, "shared ", keeps_input=False),
        # Reads two and writes one; its gradient goes to both as it is.
        Elementwise(
            "shared sum", 6.0 * elements, 0.0, launches=(1, 0), function=Addition()
        ),
    )
