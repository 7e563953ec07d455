"""Forward and backward passes of layers as items, with what they send.

What tensor ranks send is in `tensor_split`, what experts and attention over several
devices send, in `experts` and `context`, and what operators that divide the places of
a grid, in `borders`; what torch's DTensor sends otherwise, in `dtensor`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

from models.flash_attention import FlashAttention
from models.mixture import ExpertLinear, TokenExchange
from models.model import Layer
from models.operators import (
    Convolution,
    Elementwise,
    Embedding,
    Linear,
    Operator,
    Split,
)
from models.operators.casts import casts_backward, casts_forward, transposes
from models.work import Share, Work, memory_work
from simulator.costs.elementwise import is_any_above_one
from simulator.lowering.borders import border, gradient_border
from simulator.lowering.context import attention_backward, attention_forward
from simulator.lowering.dtensor import dtensor_backward, gathered
from simulator.lowering.experts import exchange_backward, exchange_forward, loaded
from simulator.lowering.keeping import BY_OPERATORS, repeated_operators
from simulator.lowering.layer_shares import tokens_gathered, tokens_returned
from simulator.lowering.stages import local_parameters
from simulator.lowering.stopping import read_again
from simulator.lowering.tensor_split import (
    gathering,
    is_split,
    split_backward_input,
    split_forward,
)
from simulator.lowering.ways import PLAIN, Ways
from simulator.workload import Beside, Item, Message, Repeat

_PRODUCTS = ("matrix", "grouped")
Recompute = Literal["none", "selective", "operators", "compiled-operators", "full"]
Gradients = tuple[tuple[Item, ...], tuple[Work, ...]]
"""What an operator's gradients take: those of its inputs, and those of its weights."""


@dataclass(frozen=True, slots=True)
class Passes:
    """Items of one layer.

    Fields:
        forward: F.
        backward: B, with whatever recomputation repeats before it.
        backward_input: I, the same without what only weights need.
        backward_weight: W, which sends nothing: what it needs of others was gathered
            for I.
        parts: B once more, operator by operator.
    """

    forward: tuple[Item, ...]
    backward: tuple[Item, ...]
    backward_input: tuple[Item, ...]
    backward_weight: tuple[Item, ...]
    parts: tuple[Gradients, ...]


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
    each = [_forward(operator, layer, own, ways) for operator, own in operators]
    gathered = tokens_gathered(layer, share)
    forward = (*gathered, *chain.from_iterable(each))
    if recompute == "full" and ways.stops:
        each = each[: len(read_again(layer.operators))]
    whole = (*gathered, *chain.from_iterable(each))
    before = _repeated(layer, share, recompute, whole, ways)
    backward: list[Item] = [*before]
    inputs: list[Item] = [*before]
    weights: list[Item] = []
    each_part: list[Gradients] = [(before, ())]
    for operator, own in reversed(operators):
        parts = _backward_parts(operator, own, ways)
        if ways.is_torch and is_any_above_one(own.sequence):
            parts = dtensor_backward(operator, own, parts, ways)
        backward += _in_a_row(operator, parts, ways)
        inputs += parts[0]
        weights += parts[1]
        each_part.append((tuple(parts[0]), parts[1]))
    returned = tuple(tokens_returned(layer, share))
    backward += returned
    inputs += returned
    each_part.append((returned, ()))
    return Passes(
        forward, tuple(backward), tuple(inputs), tuple(weights), tuple(each_part)
    )


def _repeated(
    layer: Layer,
    share: Share,
    recompute: Recompute,
    whole: tuple[Item, ...],
    ways: Ways,
) -> tuple[Item, ...]:
    """Return what recomputation does before a layer's backward; `whole` where full."""
    if layer.role != "block" or recompute == "none":
        return ()
    if recompute == "full":
        return (Repeat(whole, 1, "forward"),)
    if recompute in BY_OPERATORS:
        items = [*_gathered_again(layer, share, ways)]
        for operator, own in repeated_operators(layer, share):
            items += _again(operator, own)
        return (Repeat(tuple(items), 1, "forward"),)
    core: Sequence[Operator] = [op for op in layer.operators if op.is_core_attention]
    if ways.stops:
        core = read_again(core)
    repeated = tuple(work for op in core for work in op.forward(share))
    return (Repeat(repeated, 1, "forward"),)


def _gathered_again(layer: Layer, share: Share, ways: Ways) -> Iterator[Item]:
    """Yield the gathering of inputs that were not kept, where backward has none."""
    if not ways.is_torch or not is_any_above_one(share.sequence):
        return
    for operator, own in loaded(layer, share):
        if isinstance(operator, Linear) and operator.split is Split.COLUMN:
            yield from gathered(gathering(operator, own, ways), own, ways)


def _again(operator: Operator, share: Share) -> list[Item]:
    """Return what computes an operator again.

    What was scattered is kept; sums are repeated.
    """
    items: list[Item] = [*_cast(operator, share), *operator.forward(share)]
    is_summed = operator.split is Split.ROW and not is_any_above_one(share.sequence)
    if isinstance(operator, Linear) and is_summed and is_any_above_one(share.tensor):
        columns = operator.rows * operator.columns
        size = share.element * share.samples * columns
        name = f"{operator.name} all-reduce"
        items.append(Message(name, "all-reduce", "tensor", size))
    return items


def _forward(operator: Operator, layer: Layer, share: Share, ways: Ways) -> list[Item]:
    if isinstance(operator, TokenExchange):
        return exchange_forward(operator, share)
    if isinstance(operator, FlashAttention) and is_any_above_one(share.context):
        return attention_forward(operator, share, ways.context)
    if isinstance(operator, Linear | Embedding) and is_split(operator, share):
        is_head = layer.role == "head"
        split = split_forward(operator, share, ways, is_head=is_head)
        return [*_cast(operator, share), *split]
    items: list[Item] = [*_cast(operator, share), *operator.forward(share)]
    received = border(operator, share)
    return [received, *items] if received else items


def _cast(operator: Operator, share: Share) -> tuple[Work, ...]:
    """Return the cast of what a product reads, where it has to do that itself."""
    return casts_forward(operator, share) if isinstance(operator, Linear) else ()


def _in_a_row(
    operator: Operator, parts: tuple[list[Item], tuple[Work, ...]], ways: Ways
) -> list[Item]:
    """Return both parts in a row; a sum at the end of the first beside the second."""
    inputs, weights = parts
    last = inputs[-1] if inputs else None
    if ways.is_beside and operator.split is Split.COLUMN and isinstance(last, Message):
        return [*inputs[:-1], Beside(last, weights)]
    return [*inputs, *weights]


def _backward_parts(
    operator: Operator, share: Share, ways: Ways
) -> tuple[list[Item], tuple[Work, ...]]:
    """Return what the gradients of inputs take, and what those of weights take."""
    inputs, weights = _gradient_parts(operator, share, ways)
    if not isinstance(operator, Linear):
        return inputs, weights
    casts = casts_backward(operator, share)
    return [*casts, *inputs], (*transposes(operator, share), *weights)


def _gradient_parts(
    operator: Operator, share: Share, ways: Ways
) -> tuple[list[Item], tuple[Work, ...]]:
    """Return the same, factors of products being in their format."""
    if isinstance(operator, TokenExchange):
        return exchange_backward(operator, share), ()
    if isinstance(operator, FlashAttention) and is_any_above_one(share.context):
        return attention_backward(operator, share, ways.context), ()
    weight = operator.backward_weight(share)
    if operator.parameters:
        weight = _summed(weight, operator, share)
    if isinstance(operator, Linear | Embedding) and is_split(operator, share):
        return split_backward_input(operator, share, ways), weight
    gradient = operator.backward_input(share)
    returned = gradient_border(operator, share)
    return [*gradient, returned] if returned else [*gradient], weight


def _summed(
    weight: tuple[Work, ...], operator: Operator, share: Share
) -> tuple[Work, ...]:
    """Return the kernels of a fresh gradient and of adding it to the sum so far.

    Where products add, they read and write the sum and no fresh gradient.
    """
    if not share.sums_within or not isinstance(operator, Linear | ExpertLinear):
        return (*weight, accumulation(operator, share))
    count = local_parameters(operator, share.tensor, share.expert)
    more = (2.0 * share.gradient - share.element) * count
    return tuple(
        replace(work, size=work.size + more) if work.kind in _PRODUCTS else work
        for work in weight
    )


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
