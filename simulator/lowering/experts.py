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

With neighbours g > 1 a token crosses nodes once for each node that it goes to: an
all-to-all over the e / g ranks of one place in every node, with N copies of each token
(as many nodes as the routing allows, at most k and e / g), and one over the g ranks of
the node, with its k rows. What experts send is summed in their node first and takes the
same way back. Rows sent in fp8 are smaller on the way to experts only.

* under sequence parallelism, where each tensor rank dispatches its own tokens, as
Megatron-Core's all-to-all dispatcher does. Without it all tensor ranks dispatch all
tokens, and each holds a partial sum. Where experts are whole (`expert_tensor = 1`),
tensor ranks dispatch their own tokens to ranks of which they are some themselves, and
the right column is empty.

A device that has several experts sorts the rows that arrived by expert, and puts them
back before they return: they are read and written once more at dispatch and at combine,
forward and backward.

A router loads experts unevenly, and all wait for the device with most rows. Its rows
over the mean lengthen the products, and the messages with rows.

Limits: the two all-to-alls of a node-limited exchange follow one another, where DeepEP
passes tokens on as they come in; a token that meets two experts on one device goes
there twice; a plan's imbalance holds for nodes too. No tokens are sent before their
number is known, which costs a small message that is not modelled; nor is the sum of the
gradient norm over experts, a few bytes.

Source: Megatron-Core, MoEAlltoAllTokenDispatcher (token_dispatcher.py @d98e8a6; its
`sort_chunks_by_idxs`, and expert_tensor_parallel_size); node-limited
routing, DeepSeek-V3, arXiv:2412.19437, sections 2.1.2 and 3.2.2; fp8 on the way there,
section 3.3.3 (from memory).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from models.mixture import TokenExchange
from models.model import Layer
from models.operators import Operator
from models.work import Share, Work, memory_work
from simulator.costs.elementwise import is_any_above_one
from simulator.workload import Axis, Item, Message, Pattern
from topologies.units import Bytes


def loaded(layer: Layer, share: Share) -> Iterator[tuple[Operator, Share]]:
    """Yield operators in forward order, each with the share of the fullest device.

    Only products of blocks are cast to a narrow format.
    """
    if layer.role != "block":
        share = replace(share, operand=None)
    fullest = _at_experts(share)
    is_at_experts = False
    for operator in layer.operators:
        if isinstance(operator, TokenExchange):
            is_at_experts = operator.direction == "dispatch"
            yield operator, share
        else:
            yield operator, fullest if is_at_experts else share


def _at_experts(share: Share) -> Share:
    """Return the share between dispatch and combine on the fullest device.

    Where experts are whole, each tensor rank comes with its own tokens.
    """
    samples = share.load * share.samples
    if not share.has_whole_experts:
        return replace(share, samples=samples)
    own = samples / share.tensor
    return replace(share, samples=own, tensor=1, sequence=1)


def exchange_forward(exchange: TokenExchange, share: Share) -> list[Item]:
    """Return copying and sending tokens, or the reverse, in a forward pass."""
    works = exchange.forward(share)
    if exchange.direction == "dispatch":
        return [*works, *_sent(exchange, share), *_sorted(exchange, share, "F")]
    back: list[Item] = [*_sorted(exchange, share, "F"), *_returned(exchange, share)]
    return [*back, *works, *_summed(exchange, share)]


def exchange_backward(exchange: TokenExchange, share: Share) -> list[Item]:
    """Return the same for gradients, which take the opposite way."""
    works = exchange.backward_input(share)
    if exchange.direction == "combine":
        there: list[Item] = [*_sent(exchange, share), *_sorted(exchange, share, "I")]
        return [*works, *_weighed(exchange, share), *there]
    back: list[Item] = [*_sorted(exchange, share, "I"), *_returned(exchange, share)]
    return [*back, *works, *_summed(exchange, share)]


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
    if share.dispatched is not None:
        rows = rows * share.dispatched / share.element
    yield from _exchanged(exchange, share, rows)
    if _has_parts(share):
        yield _message(exchange, "all-gather", "tensor", share.sequence * rows)


def _returned(exchange: TokenExchange, share: Share) -> Iterator[Message]:
    """Yield what carries rows back: the same in reverse."""
    rows = share.load * exchange.exchanged_bytes(share)
    if _has_parts(share):
        yield _message(exchange, "reduce-scatter", "tensor", share.sequence * rows)
    yield from reversed([*_exchanged(exchange, share, rows)])


def _has_parts(share: Share) -> bool:
    """Return whether tensor ranks dispatch their tokens to parts of experts."""
    return is_any_above_one(share.sequence) and not share.has_whole_experts


def _sorted(exchange: TokenExchange, share: Share, letter: str) -> Iterator[Work]:
    """Yield the sorting of rows by expert, before or after all experts of a device.

    What arrived in a narrow format is sorted in it.
    """
    if not is_any_above_one(exchange.experts / share.expert):
        return
    rows = share.load * exchange.exchanged_bytes(share)
    if _has_parts(share):
        rows = share.sequence * rows
    is_there = (letter == "F") == (exchange.direction == "dispatch")
    if is_there and share.dispatched is not None:
        rows = rows * share.dispatched / share.element
    yield memory_work(f"{exchange.name} sorting {letter}", 2.0 * rows)


def _exchanged(exchange: TokenExchange, share: Share, rows: Bytes) -> Iterator[Message]:
    """Yield what carries rows between devices: at once, or by nodes.

    Args:
        exchange: of tokens.
        share: of the device.
        rows: of all experts of the device's tokens [B].
    """
    if not is_any_above_one(share.expert):
        return
    if not is_any_above_one(share.neighbours):
        yield _message(exchange, "all-to-all", "expert", rows)
        return
    reached = min(share.expert / share.neighbours, exchange.copies)
    reached = min(share.nodes or reached, reached)
    if share.expert > share.neighbours:
        copies = rows * reached / exchange.copies
        yield _message(exchange, "all-to-all", "expert-across", copies)
    yield _message(exchange, "all-to-all", "expert-inside", rows)


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
