"""What a layer keeps, and what it takes beside that while its backward runs.

An operator's backward has the gradient of its output, makes that of its input, and, if
it has weights, a fresh gradient of those beside the sum over micro-batches. A layer
takes what its largest operator does. Of attention over several devices' tokens, keys
and values of others come on top, and of experts the rows on both sides of an exchange.

A loss that is not computed in place keeps further copies of the logits in fp32: torch's
`cross_entropy` has the log-softmax, the gradient of that and the gradient of the logits
at once; over logits that tensor ranks divide (`loss_parallel`) an exponential besides.
Megatron-LM's vocabulary-parallel one overwrites a single copy. All have the logits in
the format of compute too.

Limits: what a layer keeps stays until its backward has ended, copies of logits too.
The dense gradient of an embedding's table comes when all else is gone, and is not
counted; nor are forward passes, which need less than the backward of the same layer. Of
an element-wise operator, one gradient is as large as what it keeps.

Source: the copies, torch 2.13, `torch/distributed/tensor/parallel/loss.py`; those of
its `cross_entropy` and of Megatron-LM's `cross_entropy.py` from memory.
"""

from __future__ import annotations

from typing import NamedTuple

from models.flash_attention import FlashAttention
from models.mixture import ExpertLinear, TokenExchange
from models.model import Layer
from models.operators import (
    Elementwise,
    Embedding,
    EmbeddingBag,
    Linear,
    Operator,
    Split,
)
from models.work import Share
from simulator.costs.elementwise import is_any_above_one, maximum
from simulator.lowering.experts import loaded
from simulator.lowering.kept import kept_bytes, kept_for_weights
from simulator.lowering.stages import local_parameters
from topologies.units import Bytes, Count


class Needs(NamedTuple):
    """What a layer takes for one micro-batch [B each].

    Fields:
        kept: from forward to backward.
        again: more than that while a backward has computed it again.
        left: from the first part of a backward to the second.
        gradients: the most that gradients of activations take at once.
        fresh: the largest gradient of weights before it is added to the sum.
        both: the most that an operator takes of the two together.
    """

    kept: Bytes
    again: Bytes
    left: Bytes
    gradients: Bytes
    fresh: Bytes
    both: Bytes


def layer_needs(
    layer: Layer, share: Share, recompute: str, *, loss_copies: Count, method: str
) -> Needs:
    """Return what a layer takes on one device.

    Args:
        layer: of the model.
        share: of the device.
        recompute: which activations the backward computes again.
        loss_copies: of the logits in fp32 that the loss has at once [1].
        method: how attention meets the keys and values of other devices.
    """
    kept = kept_bytes(layer, share, recompute)
    gradients: Bytes = 0.0
    fresh: Bytes = 0.0
    both: Bytes = 0.0
    for operator, own in loaded(layer, share):
        passing = _gradients(operator, own, method)
        weight = _fresh(operator, own)
        gradients = maximum(gradients, passing)
        fresh = maximum(fresh, weight)
        both = maximum(both, passing + weight)
    loss = sum(
        _loss_copies(operator, share, loss_copies) for operator in layer.operators
    )
    return Needs(
        kept,
        maximum(kept_bytes(layer, share, "none") - kept, 0.0),
        kept_for_weights(layer, share),
        gradients + loss,
        fresh,
        both + loss,
    )


def _gradients(operator: Operator, share: Share, method: str) -> Bytes:
    """Return the gradients of an operator's output and input [B]."""
    if isinstance(operator, Linear):
        return _of_linear(operator, share)
    if isinstance(operator, ExpertLinear):
        return operator.kept_for_weight(share)
    if isinstance(operator, FlashAttention):
        return _of_attention(operator, share, method)
    if isinstance(operator, TokenExchange):
        return 2.0 * share.load * operator.exchanged_bytes(share)
    if isinstance(operator, Elementwise) and operator.kind == "loss":
        return 0.0
    products = (work for work in operator.forward(share) if work.kind == "matrix")
    results = (work.rows * work.columns * work.batch for work in products)
    return operator.saved_bytes(share) + share.element * sum(results)


def _of_linear(operator: Linear, share: Share) -> Bytes:
    """Return the same for a product; sequence parallelism gathers its input again."""
    inner = operator.inner / (share.tensor if operator.split is Split.ROW else 1)
    columns = operator.columns / (share.tensor if operator.split is Split.COLUMN else 1)
    rows = operator.rows / (share.sequence if operator.split is Split.NONE else 1)
    elements = rows * (inner + columns)
    if operator.split is Split.COLUMN and is_any_above_one(share.sequence):
        gathered = rows * inner * (share.sequence > 1)
        elements = elements + gathered
    return share.element * share.samples * elements


def _of_attention(operator: FlashAttention, share: Share, method: str) -> Bytes:
    """Return the gradients of output, queries, keys and values, and others' keys.

    Around a ring there are the keys and values in use and those that arrive, and as
    many gradients of them; gathered, those of all devices.
    """
    values = operator.value_width or operator.width
    heads = operator.heads / share.tensor
    width = 2 * (operator.width + values)
    own = share.element * share.samples * heads * operator.tokens * width
    if not is_any_above_one(share.context):
        return own
    copies = share.context if method == "all-gather" else 2
    return own + 2 * copies * operator.key_value_bytes(share)


def _fresh(operator: Operator, share: Share) -> Bytes:
    """Return the gradient of an operator's weights as it is computed [B]."""
    if isinstance(operator, Embedding | EmbeddingBag):
        return 0.0
    if isinstance(operator, Linear) and not operator.owns_weight:
        return share.element * operator.inner * operator.columns / share.tensor
    return share.element * local_parameters(operator, share.tensor, share.expert)


def _loss_copies(operator: Operator, share: Share, copies: Count) -> Bytes:
    """Return the copies of the logits beside the one that is kept [B]."""
    if not isinstance(operator, Elementwise) or operator.kind != "loss":
        return 0.0
    return (copies - 1) * operator.saved_bytes(share)
