"""Sequence parallelism by torch's DTensor: where it sends something else than Megatron.

=====================  =========================  =================================
operator, backward     Megatron-LM                DTensor
=====================  =========================  =================================
column                 gathers its input again    kept the gathered input
replicated, weights    sums their gradients over  sums each tensor's in every
                       tensor ranks once a step   backward
row, bias              among those                its gradient is whole: the output's
                                                  was gathered
replicated embedding   -                          gathers the output's gradient
=====================  =========================  =================================

Source: derived from what torch 2.13 sends (`tests/torch/test_splits.py`).
"""

from __future__ import annotations

from models.operators import Embedding, Operator, Split
from models.work import Share, Work
from simulator.lowering.tensors import operator_tensors
from simulator.workload import Beside, Item, Message, Pattern
from topologies.units import Bytes

_Parts = tuple[list[Item], tuple[Work, ...]]


def dtensor_backward(operator: Operator, share: Share, parts: _Parts) -> _Parts:
    """Return an operator's backward with what DTensor sends in it.

    Args:
        operator: over divided tokens.
        share: of the device.
        parts: as Megatron does it, for inputs and for weights.
    """
    inputs, weights = parts
    if operator.split is Split.COLUMN:
        return [each for item in inputs for each in _without_gather(item)], weights
    if operator.split is not Split.NONE or not operator.parameters:
        return parts
    if isinstance(operator, Embedding):
        size = share.element * share.samples * operator.rows * operator.width
        return [_message(operator, "all-gather", size), *inputs], weights
    sums = [
        _message(operator, "all-reduce", share.element * size)
        for size in operator_tensors(operator, share.tensor)
    ]
    return [*inputs, *sums], weights


def _without_gather(item: Item) -> tuple[Item, ...]:
    """Return what is left of an item of a column's backward without its gathering."""
    if isinstance(item, Beside) and item.message.pattern == "all-gather":
        return item.works
    if isinstance(item, Message) and item.pattern == "all-gather":
        return ()
    return (item,)


def _message(operator: Operator, pattern: Pattern, size: Bytes) -> Message:
    return Message(f"{operator.name} gradient {pattern}", pattern, "tensor", size)
