"""Parameter servers: workers push gradients and pull parameters.

Workers are 0 … n - 1. Servers are n … n + k - 1, or, if they are colocated, server j
is on worker j, which then sends itself nothing. Each server holds one k-th.
"""

from __future__ import annotations

import numpy as np

from simulator.collectives.rounds import Integers, Step, ranges, step


def push(
    num_ranks: int, size: float, *, num_servers: int, is_colocated: bool
) -> list[Step]:
    """Return the sends of a push: all workers to all servers at once, which add.

    Args:
        num_ranks: n, workers [1].
        size: S, gradients of a worker [B].
        num_servers: k [1].
        is_colocated: whether servers are on workers.
    """
    worker, server, part = _pairs(num_ranks, num_servers, is_colocated=is_colocated)
    sent = size / num_servers
    blocks = ranges(part, 1)
    made = step(worker, server, sent, blocks, num_blocks=num_servers, adds=True)
    return [made] if len(worker) else []


def pull(
    num_ranks: int, size: float, *, num_servers: int, is_colocated: bool
) -> list[Step]:
    """Return the sends of a pull: all servers to all workers at once.

    Args:
        num_ranks: n, workers [1].
        size: S, parameters of a worker [B].
        num_servers: k [1].
        is_colocated: whether servers are on workers.
    """
    worker, server, part = _pairs(num_ranks, num_servers, is_colocated=is_colocated)
    sent = size / num_servers
    blocks = ranges(part, 1)
    made = step(server, worker, sent, blocks, num_blocks=num_servers, adds=False)
    return [made] if len(worker) else []


def central_push(num_ranks: int, size: float, *, is_colocated: bool) -> list[Step]:
    """Return the sends of a push to one server.

    Args:
        num_ranks: n, workers [1].
        size: S, gradients of a worker [B].
        is_colocated: whether the server is on worker 0.
    """
    return push(num_ranks, size, num_servers=1, is_colocated=is_colocated)


def central_pull(num_ranks: int, size: float, *, is_colocated: bool) -> list[Step]:
    """Return the sends of a pull from one server.

    Args:
        num_ranks: n, workers [1].
        size: S, parameters of a worker [B].
        is_colocated: whether the server is on worker 0.
    """
    return pull(num_ranks, size, num_servers=1, is_colocated=is_colocated)


def all_reduce(num_ranks: int, size: float) -> list[Step]:
    """Return the sends of an all-reduce through a server on rank 0: push, then pull.

    Args:
        num_ranks: n, workers [1].
        size: S, buffer per rank [B].
    """
    return [
        *central_push(num_ranks, size, is_colocated=True),
        *central_pull(num_ranks, size, is_colocated=True),
    ]


def sharded_all_reduce(num_ranks: int, size: float) -> list[Step]:
    """Return the sends of an all-reduce through a server on every rank.

    Args:
        num_ranks: n, workers and servers [1].
        size: S, buffer per rank [B].
    """
    return [
        *push(num_ranks, size, num_servers=num_ranks, is_colocated=True),
        *pull(num_ranks, size, num_servers=num_ranks, is_colocated=True),
    ]


def _pairs(
    num_ranks: int, num_servers: int, *, is_colocated: bool
) -> tuple[Integers, Integers, Integers]:
    """Worker, server and the server's part of all pairs."""
    worker, part = np.divmod(np.arange(num_ranks * num_servers), num_servers)
    if not is_colocated:
        return worker, part + num_ranks, part
    is_apart = worker != part
    return worker[is_apart], part[is_apart], part[is_apart]
