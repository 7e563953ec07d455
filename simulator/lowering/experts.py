"""Experts on several devices: which messages carry tokens to them and back.

Around the products of the experts, by direction of the pass:

================  ================================  ================================
                  expert parallelism                tensor parallelism of experts
================  ================================  ================================
dispatch forward  all-to-all after the copying      all-gather of the rows after it*
combine forward   all-to-all before the sum         reduce-scatter of the rows before
                                                    it*, or all-reduce of the tokens
                                                    after the sum
combine backward  all-to-all after the copying      all-gather of the rows after it*,
                                                    or all-reduce of the gradients of
                                                    the routes' weights
dispatch backw.   all-to-all before the sum         reduce-scatter of the rows before
                                                    it*, or all-reduce of the tokens
                                                    after the sum
================  ================================  ================================

* under sequence parallelism, where each tensor rank dispatches its own tokens, as
Megatron-Core's all-to-all dispatcher does. Without it all tensor ranks dispatch all
tokens, and each holds a partial sum.

A router loads experts unevenly, and all wait for the device with most rows. Its rows
over the mean lengthen the products, and the messages with rows.

Limits: no tokens are sent before their number is known, which costs a small message
that is not modelled; nor is the sum of the gradient norm over experts, a few bytes.
Where a device has several experts it sorts what arrived, which is not counted either:
each row read and written once more.

Source: Megatron-Core, MoEAlltoAllTokenDispatcher (token_dispatcher.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from models.mixture import TokenExchange
from models.model import Layer
from models.operators import Operator
from models.work import Share
from simulator.costs.elementwise import is_any_above_one
from simulator.workload import Axis, Item, Message, Pattern
from topologies.units import Bytes


def loaded(layer: Layer, share: Share) -> Iterator[tuple[Operator, Share]]:
    """Yield operators in forward order, each with the share of the fullest device."""
    fullest = replace(share, samples=share.load * share.samples)
    is_at_experts = False
    for operator in layer.operators:
        if isinstance(operator, TokenExchange):
            is_at_experts = operator.direction == "dispatch"
            yield operator, share
        else:
            yield operator, fullest if is_at_experts else share


def exchange_forward(exchange: TokenExchange, share: Share) -> list[Item]:
    """Return copying and sending tokens, or the reverse, in a forward pass."""
    works = exchange.forward(share)
    if exchange.direction == "dispatch":
        return [*works, *_sent(exchange, share)]
    return [*_returned(exchange, share), *works, *_summed(exchange, share)]


def exchange_backward(exchange: TokenExchange, share: Share) -> list[Item]:
    """Return the same for gradients, which take the opposite way."""
    works = exchange.backward_input(share)
    if exchange.direction == "combine":
        return [*works, *_weighed(exchange, share), *_sent(exchange, share)]
    return [*_returned(exchange, share), *works, *_summed(exchange, share)]


def gradient_sums(
    gradients: Bytes, of_experts: Bytes, *, has_copies: bool
) -> tuple[Message, ...]:
    """Return the sums of gradients: of the experts only over those that hold them.

    Args:
        gradients: of a device, those of its experts included [B].
        of_experts: those of experts that not all replicas hold [B].
        has_copies: whether there are several devices with the same experts.
    """
    dense = Message("gradients", "all-reduce", "data", gradients - of_experts)
    apart = Message("expert gradients", "all-reduce", "expert-data", of_experts)
    if not of_experts or not has_copies:
        return (dense,) if dense.size else ()
    return (dense, apart) if dense.size else (apart,)


def _sent(exchange: TokenExchange, share: Share) -> Iterator[Message]:
    """Yield what carries rows to the experts: between devices, then to all of one."""
    rows = share.load * exchange.exchanged_bytes(share)
    if is_any_above_one(share.expert):
        yield _message(exchange, "all-to-all", "expert", rows)
    if is_any_above_one(share.sequence):
        yield _message(exchange, "all-gather", "tensor", share.sequence * rows)


def _returned(exchange: TokenExchange, share: Share) -> Iterator[Message]:
    """Yield what carries rows back: the same in reverse."""
    rows = share.load * exchange.exchanged_bytes(share)
    if is_any_above_one(share.sequence):
        yield _message(exchange, "reduce-scatter", "tensor", share.sequence * rows)
    if is_any_above_one(share.expert):
        yield _message(exchange, "all-to-all", "expert", rows)


def _summed(exchange: TokenExchange, share: Share) -> Iterator[Message]:
    """Yield the sum of the partial results of tensor ranks that have all tokens."""
    if is_any_above_one(share.tensor) and not is_any_above_one(share.sequence):
        size = exchange.token_bytes(share)
        yield _message(exchange, "all-reduce", "tensor", size)


def _weighed(exchange: TokenExchange, share: Share) -> Iterator[Message]:
    """Yield the sum of the gradients of weights, which partial results give in part."""
    if is_any_above_one(share.tensor) and not is_any_above_one(share.sequence):
        size = exchange.weight_bytes(share)
        yield _message(exchange, "all-reduce", "tensor", size)


def _message(
    exchange: TokenExchange, pattern: Pattern, axis: Axis, size: Bytes
) -> Message:
    return Message(f"{exchange.name} {pattern}", pattern, axis, size)
