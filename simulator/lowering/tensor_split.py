"""What tensor ranks send around the products that they divide.

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

The vocabulary-parallel loss adds three all-reduces of one fp32 number a token: the
maximum, the target's logit and the sum of exponentials.
"""

from __future__ import annotations

from models.operators import Embedding, Linear, Operator, Split
from models.work import Share
from simulator.costs.elementwise import is_any_above_one
from simulator.lowering.decomposed import gathered_in_chunks, scattered_in_chunks
from simulator.lowering.dtensor import gathered, narrowed, scattered
from simulator.lowering.ways import Ways
from simulator.workload import Beside, Item, Message, Pattern
from topologies.units import Bytes

_LOSS_REDUCTIONS = 3
_FP32_BYTES = 4


def is_split(operator: Operator, share: Share) -> bool:
    """Return whether tensor parallelism divides the operator on this device.

    Where only some of an array's plans are split, messages over groups of one rank
    are priced at nothing.
    """
    return operator.split is not Split.NONE and is_any_above_one(share.tensor)


def split_forward(
    operator: Linear | Embedding, share: Share, ways: Ways, *, is_head: bool
) -> list[Item]:
    """Return the forward pass of a divided operator.

    Args:
        operator: that tensor ranks divide.
        share: of the device.
        ways: how its messages are sent.
        is_head: whether the loss follows it.
    """
    if operator.split is Split.COLUMN and isinstance(operator, Linear):
        items = _column_forward(operator, share, ways)
        if is_head:
            size = _FP32_BYTES * share.samples * operator.rows
            items += [_message("loss", "all-reduce", size)] * _LOSS_REDUCTIONS
        return items
    is_sequence = _is_sequence(share)
    pattern: Pattern = "reduce-scatter" if is_sequence else "all-reduce"
    message = _message(operator.name, pattern, _output_bytes(operator, share))
    if ways.is_async and is_sequence and isinstance(operator, Linear):
        return scattered_in_chunks(message, operator.forward, share)
    return [*operator.forward(share), *scattered(message, share, ways)]


def _column_forward(operator: Linear, share: Share, ways: Ways) -> list[Item]:
    if not _is_sequence(share):
        return [*operator.forward(share)]
    message = gathering(operator, share, ways)
    if ways.is_async:
        return gathered_in_chunks(message, operator.forward, share)
    return [*gathered(message, share, ways), *operator.forward(share)]


def gathering(operator: Linear, share: Share, ways: Ways) -> Message:
    """Return the all-gather of a column-split layer's input."""
    size = _input_bytes(operator, share) * narrowed(share, ways)
    return _message(operator.name, "all-gather", size)


def split_backward_input(
    operator: Linear | Embedding, share: Share, ways: Ways
) -> list[Item]:
    """Return what the gradient of a divided operator's input takes."""
    gradient = operator.backward_input(share)
    if operator.split is Split.COLUMN and isinstance(operator, Linear):
        return _column_backward_input(operator, share, ways)
    if not _is_sequence(share):
        return [*gradient]
    size = _output_bytes(operator, share) * narrowed(share, ways)
    message = _message(f"{operator.name} gradient", "all-gather", size)
    if ways.is_async and isinstance(operator, Linear) and gradient:
        return gathered_in_chunks(message, operator.backward_input, share)
    return [*gathered(message, share, ways), *gradient]


def _column_backward_input(operator: Linear, share: Share, ways: Ways) -> list[Item]:
    if not operator.needs_input_gradient:
        return []
    gradient, size = operator.backward_input(share), _input_bytes(operator, share)
    is_sequence = _is_sequence(share)
    pattern: Pattern = "reduce-scatter" if is_sequence else "all-reduce"
    summed = _message(f"{operator.name} gradient", pattern, size)
    if not is_sequence or ways.is_torch:
        return [*gradient, *scattered(summed, share, ways)]
    message = _message(f"{operator.name} input", "all-gather", size)
    if ways.is_beside:
        return [Beside(message, gradient), summed]
    return [message, *gradient, summed]


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


def _is_sequence(share: Share) -> bool:
    return is_any_above_one(share.sequence)
