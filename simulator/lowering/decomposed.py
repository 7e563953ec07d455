"""A tensor collective and the product that needs or feeds it, chunk by chunk.

Under sequence parallelism each of t tensor ranks holds one chunk of the tokens. A
product of gathered chunks can begin with the rank's own, while the others come in; a
product whose outputs are scattered ends with the rank's own, while the others leave.
With g the product of a chunk and x the time of a chunk on its way, t - 1 of which are,

    T = g + (t - 1) · max(g, x) = g + max((t - 1) · g, m)

where m is the whole collective, whose chunks are taken to be equally long under way.
That is one chunk's product before or after the collective, and all others beside it,
so engines, ledger and networks read nothing new.

Limits: torch first copies a rank's own chunk to where others read it, and waits for all
before and after, which is not counted. Chunks are taken to travel as fast as the
library's own collective; copy engines may be slower, and would not slow kernels as the
profile says of messages.

Source: Wang et al., ASPLOS 2023 (doi 10.1145/3567955.3567959), the idea only, from
memory; derived above.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from models.work import Share, Work, memory_work
from simulator.workload import Beside, Item, Message

Product = Callable[[Share], tuple[Work, ...]]


def gathered_in_chunks(message: Message, product: Product, share: Share) -> list[Item]:
    """Return an all-gather and the product of what it gathers.

    Args:
        message: the all-gather.
        product: the kernels of a share.
        share: of the device, with all tokens of the product.
    """
    chunk = _of_one_chunk(product, share)
    return [Beside(message, _others(chunk, share)), *chunk]


def scattered_in_chunks(message: Message, product: Product, share: Share) -> list[Item]:
    """Return a product and the reduce-scatter of its outputs.

    At the end the t partial outputs of a rank's own chunk are added: t are read, one
    is written.

    Args:
        message: the reduce-scatter.
        product: the kernels of a share.
        share: of the device, with all tokens of the product.
    """
    chunk = _of_one_chunk(product, share)
    size = message.size * (share.tensor + 1) / share.tensor
    summed = memory_work(f"{message.name} sum", size)
    return [*chunk, Beside(message, _others(chunk, share)), summed]


def _of_one_chunk(product: Product, share: Share) -> tuple[Work, ...]:
    return product(replace(share, samples=share.samples / share.tensor))


def _others(chunk: tuple[Work, ...], share: Share) -> tuple[Work, ...]:
    """Return the kernels of all chunks but one."""
    return chunk * (int(share.tensor) - 1)
