"""Sequence parallelism by torch's DTensor: where it does something else than Megatron.

=====================  =========================  =================================
operator               Megatron-LM                DTensor
=====================  =========================  =================================
column, backward       gathers its input again    kept the gathered input
  its gradient's sum   may be sent beside a       is not: the next kernel needs it
                       product
replicated, weights    sums their gradients over  sums each tensor's in every
                       tensor ranks once a step   backward
row, bias              among those                its gradient is whole: the output's
                                                  was gathered
replicated embedding   -                          gathers the output's gradient
fp8                    sends two bytes a number   gathers what is cast already
several samples        rows of tokens first: a    samples first, so that parts of
                       part is a block of memory  tokens are strided: copied into
                                                  blocks to be scattered, and out of
                                                  them when they were gathered
=====================  =========================  =================================

Where products run chunk by chunk (`decomposed`), the writer of what is sent already
writes blocks. Gradients of inputs are not sent so: they are the sum of several products
of torch, and its compiler takes apart only a product that is sent as it is.

Limits: that copies are their own kernels; a compiler may join some with their writers.

Source: derived from what torch 2.13 sends (`tests/torch/test_splits.py`); copies and
chunks, its `_functional_collectives.py` and `_inductor/fx_passes/micro_pipeline_tp.py`;
fp8, pytorch/ao, `float8_tensor_parallel.py`.
"""

from __future__ import annotations

from models.operators import Embedding, Operator, Split
from models.work import Share, Work, memory_work
from simulator.costs.elementwise import is_any_above_one
from simulator.lowering.tensors import operator_tensors
from simulator.lowering.ways import Ways
from simulator.workload import Item, Message, Pattern
from topologies.units import Bytes, Ratio

_Parts = tuple[list[Item], tuple[Work, ...]]


def narrowed(share: Share, ways: Ways) -> Ratio:
    """Return what is left of a message's bytes where factors are cast before it [1]."""
    return (share.operand or share.element) / share.element if ways.is_torch else 1.0


def gathered(message: Message, share: Share, ways: Ways) -> list[Item]:
    """Return an all-gather of tokens, and what puts them in order."""
    return [message, *_in_order(message, share, ways)]


def scattered(message: Message, share: Share, ways: Ways) -> list[Item]:
    """Return the sum of what tensor ranks have of the tokens, put in order before."""
    return [*_in_order(message, share, ways), message]


def _in_order(message: Message, share: Share, ways: Ways) -> list[Item]:
    """Return a copy of a message's whole tensor, where samples are several."""
    is_torch = ways.is_torch and is_any_above_one(share.sequence)
    samples = share.samples * share.context
    if not is_torch or not is_any_above_one(samples):
        return []
    return [memory_work(f"{message.name} order", 2.0 * message.size * (samples > 1))]


def dtensor_backward(
    operator: Operator, share: Share, parts: _Parts, ways: Ways
) -> _Parts:
    """Return a replicated operator's backward with what DTensor sends in it.

    Args:
        operator: over divided tokens.
        share: of the device.
        parts: as Megatron does it, for inputs and for weights.
        ways: how messages are sent.
    """
    inputs, weights = parts
    if operator.split is not Split.NONE or not operator.parameters:
        return parts
    if isinstance(operator, Embedding):
        size = share.element * share.samples * operator.rows * operator.width
        message = _message(operator, "all-gather", size)
        return [*gathered(message, share, ways), *inputs], weights
    sums = [
        _message(operator, "all-reduce", share.element * size)
        for size in operator_tensors(operator, share.tensor)
    ]
    return [*inputs, *sums], weights


def _message(operator: Operator, pattern: Pattern, size: Bytes) -> Message:
    return Message(f"{operator.name} gradient {pattern}", pattern, "tensor", size)
