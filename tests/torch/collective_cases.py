"""Every row of the table with ranks and options, what is given, and what is to come."""

from dataclasses import replace

import torch

from calibration.torch_engine.collectives import Peers, perform
from simulator.collectives import TABLE, Options

WORLD = 8
BLOCK = 840  # elements: 1 … 8 divide it, so blocks are equal everywhere
NUMBER = 8  # bytes of an element


def options_of(row, num_ranks):
    """Options that a row is tried with, beside its defaults."""
    found = [Options()]
    if "root" in row.options:
        found = [Options(root=root) for root in (0, num_ranks - 1)]
    if "per_node" in row.options:
        found = [Options(per_node=d) for d in (1, 2, 3, 4) if num_ranks % d == 0]
    if "orders" in row.options:
        orders = (tuple(range(num_ranks)), tuple(reversed(range(num_ranks))))
        found = [Options(orders=orders), Options(num_rings=3)]
    if "num_servers" in row.options or "is_colocated" in row.options:
        found = [Options(is_colocated=True, num_servers=s) for s in (1, num_ranks)]
        if num_ranks < WORLD:
            found.append(Options(num_servers=1))
    # Two pieces at least, so that pipelines are pipelines.
    return [replace(each, grain=num_ranks * 1000.0) for each in found]


def cases():
    """Rows with ranks and options, all that point-to-point messages can do."""
    return [
        (key, num_ranks, options)
        for key, row in TABLE.items()
        if not row.is_in_switch
        for num_ranks in range(2, WORLD + 1)
        for options in options_of(row, num_ranks)
        if not row.allows(num_ranks, options)
        and row.num_participants(num_ranks, options) <= WORLD
    ]


def own(rank, length):
    """The numbers of a rank, all different."""
    return torch.arange(length, dtype=torch.float64) * 10 + rank


def servers_of(row, num_ranks, options):
    """How many servers a push or pull has."""
    return 1 if row.name == "central" else options.num_servers or num_ranks


def given(row, rank, num_ranks, options):
    """The tensor that a participant brings."""
    length = num_ranks * BLOCK
    is_root = rank == options.root
    parts = servers_of(row, num_ranks, options)
    match row.pattern:
        case "all-gather" | "gather" | "neighbour-exchange":
            return own(rank, BLOCK)
        case "broadcast" | "scatter" if not is_root:
            return torch.zeros(length, dtype=torch.float64)
        case "push" if rank >= num_ranks:  # a server, which has added nothing yet
            return torch.zeros(length, dtype=torch.float64)
        case "pull":
            first = 0 if options.is_colocated else num_ranks
            whole = torch.full((length,), -1.0, dtype=torch.float64)
            part = rank - first
            if 0 <= part < parts:
                size = length // parts
                mine = slice(part * size, (part + 1) * size)
                whole[mine] = own(0, length)[mine]
            return whole
        case _:
            return own(rank, length)


def fault(row, rank, num_ranks, options, came):
    """What is wrong with what a participant got; nothing if it is right."""
    if row.pattern in {"reduce", "gather"} and rank != options.root:
        return ""
    if row.pattern == "neighbour-exchange":
        left, right = (rank - 1) % num_ranks, (rank + 1) % num_ranks
        rows = came.reshape(2 * num_ranks, BLOCK)
        came = torch.cat([rows[left], rows[num_ranks + right]])
    expected = promised(row, rank, num_ranks, options)
    if row.pattern == "push":
        servers = servers_of(row, num_ranks, options)
        part = rank - (0 if options.is_colocated else num_ranks)
        if not 0 <= part < servers:
            return ""
        size = len(came) // servers
        owned = slice(part * size, (part + 1) * size)
        expected, came = expected[owned], came[owned]
    if expected is None or torch.equal(expected, came):
        return ""
    return f"rank {rank} has something else"


def promised(row, rank, num_ranks, options):
    """What a participant is to get; None for what it had."""
    length = num_ranks * BLOCK
    mine = slice(rank * BLOCK, (rank + 1) * BLOCK)
    everyone = [own(each, length) for each in range(num_ranks)]
    total, of_root = sum(everyone), everyone[options.root]
    left, right = (rank - 1) % num_ranks, (rank + 1) % num_ranks
    blocks = torch.cat([each[:BLOCK] for each in everyone])
    return {
        "all-reduce": total,
        "reduce": total,
        "push": total,
        "reduce-scatter": total[mine],
        "all-gather": blocks,
        "gather": blocks,
        "broadcast": of_root,
        "scatter": of_root[mine],
        "all-to-all": torch.cat([each[mine] for each in everyone]),
        "pull": own(0, length),
        "neighbour-exchange": torch.cat([own(left, BLOCK), own(right, BLOCK)]),
    }.get(row.pattern)


def work(member, cases):
    """The faults and the bytes sent of all cases, on one rank."""
    rank, found = member.rank, []
    for tag, (key, num_ranks, options) in enumerate(cases):
        row = TABLE[key]
        peers = Peers(members=range(WORLD), place=rank, tag=tag)
        if rank < row.num_participants(num_ranks, options):
            tensor = given(row, rank, num_ranks, options)
            came = perform(row, tensor, peers, num_ranks, options)
            wrong = fault(row, rank, num_ranks, options, came)
            found.append((wrong, peers.wire_bytes))
        else:
            found.append(("", 0))
    return found


def size_of(row, num_ranks):
    """The message in NCCL's convention [B]."""
    is_block = row.pattern == "neighbour-exchange"
    return NUMBER * BLOCK * (1 if is_block else num_ranks)
