"""Forward and backward passes of layers as items, with their tensor collectives.

Megatron's rules (arXiv:1909.08053, section 3; with sequence parallelism
arXiv:2205.05198, section 4.2.2), by the `Split` of each operator:

=================  ==========================  ===============================
operator           plain tensor parallelism    with sequence parallelism
=================  ==========================  ===============================
column, forward    -                           all-gather of the input before
column, backward   all-reduce of its gradient  all-gather of the input before,
                                               reduce-scatter of its gradient
row, forward       all-reduce of the output    reduce-scatter of the output
row, backward      -                           all-gather of the gradient before
vocabulary, fwd.   all-reduce of the output    reduce-scatter of the output
vocabulary, bwd.   -                           all-gather of the gradient before
=================  ==========================  ===============================

What experts and attention over several devices send is in `experts` and `context`, what
operators that divide the places of a grid, in `borders`.
The vocabulary-parallel loss adds three all-reduces of one fp32 number a token: the
maximum, the target's logit and the sum of exponentials.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from models.flash_attention import FlashAttention
from models.mixture import TokenExchange
from models.model import Layer
from models.operators import (
    Convolution,
    Elementwise,
    Embedding,
    Linear,
    Operator,
    Split,
)
from models.work import Share, Work, memory_work
from simulator.costs.elementwise import is_any_above_one
from simulator.lowering.borders import border, gradient_border
from simulator.lowering.context import (
    ContextWay,
    attention_backward,
    attention_forward,
)
from simulator.lowering.experts import exchange_backward, exchange_forward, loaded
from simulator.lowering.stages import local_parameters
from simulator.workload import Beside, Item, Message, Pattern, Repeat
from topologies.units import Bytes

Recompute = Literal["none", "selective", "full"]
_LOSS_REDUCTIONS = 3
_FP32_BYTES = 4


@dataclass(frozen=True, slots=True)
class Passes:
    """Items of one layer.

    Fields:
        forward: F.
        backward: B, with whatever recomputation repeats before it.
        backward_input: I, the same without what only weights need.
        backward_weight: W, which sends nothing: what it needs of others was gathered
            for I.
    """

    forward: tuple[Item, ...]
    backward: tuple[Item, ...]
    backward_input: tuple[Item, ...]
    backward_weight: tuple[Item, ...]


class Ways(NamedTuple):
    """How the messages of a layer are sent.

    Fields:
        is_overlapped: whether column-split layers send beside their gradient
            products, as Megatron-LM does since 2022.
        context: how attention meets the keys of other devices.
    """

    is_overlapped: bool = False
    context: ContextWay = ContextWay()


PLAIN = Ways()


def layer_passes(
    layer: Layer, share: Share, recompute: Recompute, ways: Ways = PLAIN
) -> Passes:
    """Return the forward and backward items of `layer` on one device.

    Args:
        layer: of the model.
        share: of the device.
        recompute: which activations the backward computes again.
        ways: how its messages are sent.
    """
    operators = tuple(loaded(layer, share))
    forward = tuple(
        item
        for operator, own in operators
        for item in _forward(operator, layer, own, ways)
    )
    before = _repeated(layer, share, recompute, forward)
    backward: list[Item] = [*before]
    inputs: list[Item] = [*before]
    weights: list[Item] = []
    for operator, own in reversed(operators):
        backward += _backward(operator, own, ways)
        parts = _backward_parts(operator, own, ways)
        inputs += parts[0]
        weights += parts[1]
    return Passes(forward, tuple(backward), tuple(inputs), tuple(weights))


def _repeated(
    layer: Layer, share: Share, recompute: Recompute, forward: tuple[Item, ...]
) -> tuple[Item, ...]:
    """Return what recomputation does before a layer's backward."""
    if layer.role != "block" or recompute == "none":
        return ()
    if recompute == "full":
        return (Repeat(forward, 1, "forward"),)
    core = (op for op in layer.operators if op.is_core_attention)
    repeated = tuple(work for op in core for work in op.forward(share))
    return (Repeat(repeated, 1, "forward"),)


def gather_received(size: Bytes) -> Message:
    """Return the gathering of an activation whose parts arrived at the tensor ranks.

    Args:
        size: of the whole activation [B].
    """
    return _message("received", "all-gather", size)


def _message(name: str, pattern: Pattern, size: float) -> Message:
    return Message(f"{name} {pattern}", pattern, "tensor", size)


def _input_bytes(operator: Linear, share: Share) -> float:
    return share.element * share.samples * operator.rows * operator.inner


def _output_bytes(operator: Linear | Embedding, share: Share) -> float:
    width = operator.columns if isinstance(operator, Linear) else operator.width
    return share.element * share.samples * operator.rows * width


def _forward(operator: Operator, layer: Layer, share: Share, ways: Ways) -> list[Item]:
    if isinstance(operator, TokenExchange):
        return exchange_forward(operator, share)
    if isinstance(operator, FlashAttention) and is_any_above_one(share.context):
        return attention_forward(operator, share, ways.context)
    items: list[Item] = [*operator.forward(share)]
    if received := border(operator, share):
        return [received, *items]
    if not isinstance(operator, Linear | Embedding) or not _is_split(operator, share):
        return items
    is_sequence = _is_sequence(share)
    if operator.split in {Split.ROW, Split.VOCABULARY}:
        pattern: Pattern = "reduce-scatter" if is_sequence else "all-reduce"
        size = _output_bytes(operator, share)
        items.append(_message(operator.name, pattern, size))
    elif operator.split is Split.COLUMN and isinstance(operator, Linear):
        if is_sequence:
            size = _input_bytes(operator, share)
            items.insert(0, _message(operator.name, "all-gather", size))
        if layer.role == "head":
            size = _FP32_BYTES * share.samples * operator.rows
            reduction = _message("loss", "all-reduce", size)
            items += [reduction] * _LOSS_REDUCTIONS
    return items


def _backward(operator: Operator, share: Share, ways: Ways) -> list[Item]:
    """Return both parts in a row; a sum at the end of the first beside the second."""
    inputs, weights = _backward_parts(operator, share, ways)
    last = inputs[-1] if inputs else None
    if (
        ways.is_overlapped
        and operator.split is Split.COLUMN
        and isinstance(last, Message)
    ):
        return [*inputs[:-1], Beside(last, weights)]
    return [*inputs, *weights]


def _backward_parts(
    operator: Operator, share: Share, ways: Ways
) -> tuple[list[Item], tuple[Work, ...]]:
    """Return what the gradients of inputs take, and what those of weights take."""
    if isinstance(operator, TokenExchange):
        return exchange_backward(operator, share), ()
    if isinstance(operator, FlashAttention) and is_any_above_one(share.context):
        return attention_backward(operator, share, ways.context), ()
    gradient = operator.backward_input(share)
    weight = operator.backward_weight(share)
    if operator.parameters:
        weight = (*weight, accumulation(operator, share))
    if returned := gradient_border(operator, share):
        return [*gradient, returned], weight
    if not isinstance(operator, Linear | Embedding) or not _is_split(operator, share):
        return [*gradient], weight
    is_sequence = _is_sequence(share)
    if operator.split is Split.COLUMN and isinstance(operator, Linear):
        size = _input_bytes(operator, share)
        if not operator.needs_input_gradient:
            return [], weight
        pattern: Pattern = "reduce-scatter" if is_sequence else "all-reduce"
        summed = _message(f"{operator.name} gradient", pattern, size)
        if not is_sequence:
            return [*gradient, summed], weight
        gathered = _message(f"{operator.name} input", "all-gather", size)
        return [*_together(gathered, gradient, ways), summed], weight
    if is_sequence and operator.split in {Split.ROW, Split.VOCABULARY}:
        size = _output_bytes(operator, share)
        gathered = _message(f"{operator.name} gradient", "all-gather", size)
        return [gathered, *gradient], weight
    return [*gradient], weight


def _together(message: Message, works: tuple[Work, ...], ways: Ways) -> list[Item]:
    """Return a message and kernels that do not need it: beside or after it."""
    return [Beside(message, works)] if ways.is_overlapped else [message, *works]


def accumulation(operator: Operator, share: Share) -> Work:
    """Return the addition of a fresh gradient to the one summed so far.

    Reads the fresh one, reads and writes the sum; bias and weight are added by
    kernels of their own.
    """
    count = local_parameters(operator, share.tensor, share.expert)
    tensors = 2 if _has_two_parameters(operator) else 1
    size = (share.element + 2.0 * share.gradient) * count
    return memory_work(f"{operator.name} accumulate", size, launches=tensors)


def _has_two_parameters(operator: Operator) -> bool:
    is_biased = isinstance(operator, Linear | Convolution) and operator.bias
    return is_biased or isinstance(operator, Elementwise)


def _is_split(operator: Operator, share: Share) -> bool:
    """Return whether tensor parallelism divides the operator on this device.

    Where only some of an array's plans are split, messages over groups of one rank
    are priced at nothing.
    """
    return operator.split is not Split.NONE and is_any_above_one(share.tensor)


def _is_sequence(share: Share) -> bool:
    return is_any_above_one(share.sequence)
