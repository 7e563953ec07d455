"""Attention whose keys and values are on several devices: around a ring, or gathered.

==========  =====================================================================
ring        c steps, each with the keys and values of one device
  forward   beside each step but the last, they go on to the neighbour: c - 1 times
  backward  the other way round: beside the first step keys and values, beside the
            last their gradients, and both beside those between, as gradients are
            summed along the way
all-gather  all keys and values at once, before the one kernel
  forward   all-gather
  backward  all-gather again, as only the device's own were kept; afterwards a
            reduce-scatter of their gradients
==========  =====================================================================

Limits: keys and values of other devices take memory only while a step runs, and are not
counted in it.

Source: ring, Liu et al., arXiv:2310.01889, section 3 (from memory), with the messages
of TransformerEngine's context_parallel.py, AttnFuncWithCPAndKVP2P; all-gather, Llama 3,
arXiv:2407.21783, section 3.3.2, and AttnFuncWithCPAndKVAllGather of the same file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from models.context import Square, ring_squares, whole_square
from models.flash_attention import FlashAttention
from models.work import Share, Work
from simulator.workload import Beside, Item, Message, Pattern, Repeat
from topologies.units import Bytes

Method = Literal["ring", "all-gather"]


class ContextWay(NamedTuple):
    """How attention meets the keys of other devices.

    Fields:
        method: whether keys and values go around, or are gathered.
        is_balanced: whether each device has a piece from either end of a sample.
    """

    method: Method = "ring"
    is_balanced: bool = True


def attention_forward(
    attention: FlashAttention, share: Share, way: ContextWay
) -> list[Item]:
    """Return attention over the keys of all devices, with what it sends."""
    size = attention.key_value_bytes(share)
    if way.method == "all-gather":
        square = _whole(attention, share, way)
        gathered = _gathering("all-gather", share.context * size)
        return [gathered, attention.forward_over(square, share)]
    first, other = _around(attention, share, way)
    later = (
        attention.forward_over(other, share),
        attention.summed_outputs(share),
    )
    works = ((attention.forward_over(first, share),), later, later)
    return _steps((size, size, 0.0), works, share)


def attention_backward(
    attention: FlashAttention, share: Share, way: ContextWay
) -> list[Item]:
    """Return the gradients of attention, with what it sends."""
    size = attention.key_value_bytes(share)
    if way.method == "all-gather":
        square = _whole(attention, share, way)
        return [
            _gathering("all-gather", share.context * size),
            attention.backward_over(square, share),
            _gathering("reduce-scatter", share.context * size),
        ]
    last, other = _around(attention, share, way)
    kernel, summed = (
        attention.backward_over(other, share),
        attention.summed_gradients(share),
    )
    works = (
        (kernel,),
        (kernel, summed),
        (attention.backward_over(last, share), summed),
    )
    return _steps((size, 2 * size, size), works, share)


def _whole(attention: FlashAttention, share: Share, way: ContextWay) -> Square:
    return whole_square(
        attention.tokens,
        share.context,
        is_causal=attention.is_causal,
        is_balanced=way.is_balanced,
    )


def _around(
    attention: FlashAttention, share: Share, way: ContextWay
) -> tuple[Square, Square]:
    return ring_squares(
        attention.tokens,
        share.context,
        is_causal=attention.is_causal,
        is_balanced=way.is_balanced,
    )


def _steps(
    sizes: Sequence[Bytes], works: Sequence[tuple[Work, ...]], share: Share
) -> list[Item]:
    """Return the first step, those between, and the last.

    Args:
        sizes: of what is sent beside each of the three; 0 for nothing [B].
        works: of each of the three.
        share: of the device.
    """
    first, between, last = (
        [Beside(_passed_on(size), work)] if size else [*work]
        for size, work in zip(sizes, works, strict=True)
    )
    count = int(share.context) - 2
    repeated = [Repeat(tuple(between), count)] if count else []
    return [*first, *repeated, *last]


def _passed_on(size: Bytes) -> Message:
    name = "keys and values neighbour-exchange"
    return Message(name, "neighbour-exchange", "context", size)


def _gathering(pattern: Pattern, size: Bytes) -> Message:
    return Message(f"keys and values {pattern}", pattern, "context", size)
