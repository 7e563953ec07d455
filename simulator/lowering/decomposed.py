"""A tensor collective and the product that needs or feeds it, chunk by chunk.

Under sequence parallelism each of t tensor ranks holds one chunk of the tokens. A
product of gathered chunks can begin with the rank's own, while the others come in; a
product whose outputs are scattered ends with the rank's own, while the others leave.
With g the product of the rank's own chunk, G that of the others and m the whole
collective, whose chunks are taken to be equally long under way,

    T = g + max(G, m)

That is one chunk's product before or after the collective, and all others beside it,
so engines, ledger and networks read nothing new. The others are one product: chunks are
issued on several streams, so that one fills the last wave of the one before.

Limits: torch first copies a rank's own chunk to where others read it, and waits for all
before and after, which is not counted. Chunks are taken to travel as fast as the
library's own collective; copy engines may be slower, and would not slow kernels as the
profile says of messages. Nor are units set aside for messages, of which Transformer
Engine's chunked reduce-scatter takes 16 to 24 of 132.

Source: Wang et al., ASPLOS 2023 (doi 10.1145/3567955.3567959), the idea only, from
memory; streams, TransformerEngine v0.8, pytorch/csrc/comm_gemm_overlap.h
(`split_overlap_ag`, `split_overlap_rs`); derived above.
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
    return [
        Beside(message, _others(product, share)),
        *_of_one_chunk(product, share),
    ]


def scattered_in_chunks(message: Message, product: Product, share: Share) -> list[Item]:
    """Return a product and the reduce-scatter of its outputs.

    At the end the t partial outputs of a rank's own chunk are added: t are read, one
    is written.

    Args:
        message: the reduce-scatter.
        product: the kernels of a share.
        share: of the device, with all tokens of the product.
    """
    size = message.size * (share.tensor + 1) / share.tensor
    summed = memory_work(f"{message.name} sum", size)
    return [
        *_of_one_chunk(product, share),
        Beside(message, _others(product, share)),
        summed,
    ]


def _of_one_chunk(product: Product, share: Share) -> tuple[Work, ...]:
    return product(replace(share, samples=share.samples / share.tensor))


def _others(product: Product, share: Share) -> tuple[Work, ...]:
    """Return the product of all chunks but one, launched chunk by chunk."""
    count = share.tensor - 1
    works = product(replace(share, samples=share.samples * count / share.tensor))
    return tuple(replace(work, launches=work.launches * count) for work in works)
