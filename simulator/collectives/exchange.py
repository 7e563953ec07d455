"""All-to-all, direct exchange, neighbours, and the barrier.

Blocks of an all-to-all: rank s has the block s · n + d for rank d.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from simulator.collectives.rounds import Integers, Step, ranges, step


def partners(place: Integers, length: int) -> list[Integers]:
    """Return with whom each place exchanges, round by round, until it met all.

    Args:
        place: of each participant in its group.
        length: of the groups [1]; pairs swap by XOR if it is a power of two,
            else everyone sends so many places onwards.
    """
    if length & (length - 1) == 0:
        return [place ^ distance for distance in range(1, length)]
    return [(place + distance) % length for distance in range(1, length)]


def pairwise_all_to_all(num_ranks: int, size: float) -> list[Step]:
    """Return the sends of an all-to-all in n - 1 rounds, one partner in each.

    Args:
        num_ranks: n, ranks [1].
        size: S, buffer per rank [B].
    """
    rank = np.arange(num_ranks)
    return [
        step(
            rank,
            to,
            size / num_ranks,
            ranges(rank * num_ranks + to, 1),
            num_blocks=num_ranks**2,
            adds=False,
        )
        for to in partners(rank, num_ranks)
    ]


def direct_all_to_all(num_ranks: int, size: float) -> list[Step]:
    """Return the sends of an all-to-all, all at once.

    Args:
        num_ranks: n, ranks [1].
        size: S, buffer per rank [B].
    """
    sender, receiver = _all_pairs(num_ranks)
    blocks = ranges(sender * num_ranks + receiver, 1)
    whole = num_ranks**2
    sent = size / num_ranks
    made = step(sender, receiver, sent, blocks, num_blocks=whole, adds=False)
    return [made] if num_ranks > 1 else []


def bruck_all_to_all(num_ranks: int, size: float) -> list[Step]:
    """Return the sends of Bruck's all-to-all: in round k, 2^k places onwards.

    A block for the rank i places on goes along in the rounds of the bits of i.

    Args:
        num_ranks: n, ranks [1].
        size: S, buffer per rank [B].
    """
    rank, distances = np.arange(num_ranks), np.arange(num_ranks)
    steps = []
    for bit in range((num_ranks - 1).bit_length()):
        going = distances[distances >> bit & 1 == 1]
        steps.append(
            step(
                rank,
                (rank + (1 << bit)) % num_ranks,
                size * len(going) / num_ranks,
                partial(_bruck_blocks, going=going, bit=bit, num_ranks=num_ranks),
                num_blocks=num_ranks**2,
                adds=False,
            )
        )
    return steps


def _bruck_blocks(
    _repetition: int, *, going: Integers, bit: int, num_ranks: int
) -> Integers:
    came = going % (1 << bit)
    source = (np.arange(num_ranks)[:, None] - came) % num_ranks
    return source * num_ranks + (source + going) % num_ranks


def direct_reduce_scatter(num_ranks: int, size: float) -> list[Step]:
    """Return the sends of a reduce-scatter, all at once; rank r ends with block r.

    Args:
        num_ranks: n, ranks [1].
        size: S, input of each rank [B].
    """
    sender, receiver = _all_pairs(num_ranks)
    sent = size / num_ranks
    blocks = ranges(receiver, 1)
    made = step(sender, receiver, sent, blocks, num_blocks=num_ranks, adds=True)
    return [made] if num_ranks > 1 else []


def direct_all_gather(num_ranks: int, size: float) -> list[Step]:
    """Return the sends of an all-gather, all at once; rank r begins with block r.

    Args:
        num_ranks: n, ranks [1].
        size: S, output of each rank [B].
    """
    sender, receiver = _all_pairs(num_ranks)
    sent = size / num_ranks
    blocks = ranges(sender, 1)
    made = step(sender, receiver, sent, blocks, num_blocks=num_ranks, adds=False)
    return [made] if num_ranks > 1 else []


def _all_pairs(num_ranks: int) -> tuple[Integers, Integers]:
    sender, onwards = np.divmod(np.arange(num_ranks * (num_ranks - 1)), num_ranks - 1)
    return sender, (sender + onwards + 1) % num_ranks


def neighbour_exchange(
    num_ranks: int, size: float, *, pairs: tuple[tuple[int, int], ...]
) -> list[Step]:
    """Return one round in which neighbours send to each other.

    Args:
        num_ranks: n, ranks [1].
        size: S, of each send [B].
        pairs: senders and receivers; if none, both neighbours on a ring.
    """
    rank = np.arange(num_ranks)
    sender = np.concatenate([rank, rank])
    receiver = np.concatenate([(rank + 1) % num_ranks, (rank - 1) % num_ranks])
    if pairs:
        sender, receiver = np.array(pairs, np.int64).T
    elif num_ranks == 1:
        return []
    blocks = ranges(np.arange(len(sender)), 1)
    return [step(sender, receiver, size, blocks, num_blocks=len(sender), adds=False)]


def barrier(num_ranks: int, size: float) -> list[Step]:
    """Return the empty messages of a dissemination barrier.

    In round k every rank tells the one 2^k places on.

    Args:
        num_ranks: n, ranks [1].
        size: of no effect [B].
    """
    rank = np.arange(num_ranks)
    return [
        step(
            rank,
            (rank + (1 << bit)) % num_ranks,
            0.0 * size,
            ranges(np.zeros(num_ranks, np.int64), 0),
            num_blocks=1,
            adds=False,
        )
        for bit in range((num_ranks - 1).bit_length())
    ]
