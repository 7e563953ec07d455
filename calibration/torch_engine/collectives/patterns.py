"""The patterns of the table as functions of a tensor: what is in it, and what comes.

=================== ========================== =================================
pattern             tensor given               tensor returned
=================== ========================== =================================
all-reduce, reduce  own buffer                 the sum (of a reduce, at the root)
reduce-scatter      own buffer                 own block of the sum
all-gather          own block                  all blocks, in order of ranks
broadcast           the buffer (at the root)   the buffer of the root
scatter             all blocks (at the root)   own block
gather              own block                  all blocks (at the root)
all-to-all          a block for every rank     a block from every rank
push                own gradients              own part of the sum (at a server)
pull                own part (at a server)     all parts
neighbour-exchange  what to send               what came, a row for each sender
barrier             anything                   the same
=================== ========================== =================================

Of a broadcast and a scatter all ranks give a tensor of the same size. A push and a
pull take a tensor of all parts everywhere; a server adds to its own part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from calibration.torch_engine.collectives.carrying import carry_out, cut
from calibration.torch_engine.collectives.parts import own_part
from calibration.torch_engine.collectives.peers import Peers
from simulator.collectives.algorithm import Algorithm
from simulator.collectives.options import DEFAULTS, Options
from simulator.collectives.rounds import Step


def perform(
    row: Algorithm,
    tensor: Tensor,
    peers: Peers,
    num_ranks: int,
    options: Options = DEFAULTS,
) -> Tensor:
    """Carry out a collective and return what it gives this participant.

    Args:
        row: of the table of collectives.
        tensor: of one dimension; see the table above. It may be overwritten.
        peers: the other participants.
        num_ranks: n; servers of their own come on top [1].
        options: choices within the algorithm.

    Raises:
        ValueError: it cannot be done between ranks.
        RuntimeError: a peer is gone, or did not answer in time.
    """
    if row.is_in_switch:
        raise ValueError(f"{row.pattern} by {row.name} needs a switch that adds")
    begin, size, end = _FORMS[row.pattern]
    own = own_part(row, num_ranks, size(tensor, num_ranks), options, peers.place)
    whole = begin(tensor, peers, num_ranks, own.steps)
    if own.turns:
        carry_out(own.turns, cut(whole, own.steps[0].num_blocks), peers)
    return end(whole, peers, num_ranks)


def _bytes(tensor: Tensor, _num_ranks: int) -> float:
    return float(tensor.numel() * tensor.element_size())


def _bytes_of_all(tensor: Tensor, num_ranks: int) -> float:
    return num_ranks * _bytes(tensor, num_ranks)


def _same(
    tensor: Tensor, _peers: Peers, _num_ranks: int, _steps: Sequence[Step]
) -> Tensor:
    return tensor


def _as_block(
    tensor: Tensor, peers: Peers, num_ranks: int, _steps: Sequence[Step]
) -> Tensor:
    """Return the whole with only the own block filled; of an all-to-all, its row."""
    whole = tensor.new_zeros(num_ranks * len(tensor))
    cut(whole, num_ranks)[peers.place].copy_(tensor)
    return whole


def _as_sent(
    tensor: Tensor, peers: Peers, _num_ranks: int, steps: Sequence[Step]
) -> Tensor:
    """Return a row for each send of an exchange, with the own ones filled."""
    if not steps:
        return tensor.new_zeros(0)
    sender = torch.from_numpy(steps[0].round.sender)
    is_own = (sender == peers.place).to(tensor.dtype)
    return (is_own[:, None] * tensor[None, :]).ravel()


def _whole(whole: Tensor, _peers: Peers, _num_ranks: int) -> Tensor:
    return whole


def _own_block(whole: Tensor, peers: Peers, num_ranks: int) -> Tensor:
    return cut(whole, num_ranks)[peers.place]


def _own_column(whole: Tensor, peers: Peers, num_ranks: int) -> Tensor:
    return whole.reshape(num_ranks, num_ranks, -1)[:, peers.place].reshape(-1)


_Begin = Callable[[Tensor, Peers, int, Sequence[Step]], Tensor]
_Size = Callable[[Tensor, int], float]
_End = Callable[[Tensor, Peers, int], Tensor]

_FORMS: dict[str, tuple[_Begin, _Size, _End]] = {
    "all-reduce": (_same, _bytes, _whole),
    "reduce": (_same, _bytes, _whole),
    "broadcast": (_same, _bytes, _whole),
    "push": (_same, _bytes, _whole),
    "pull": (_same, _bytes, _whole),
    "barrier": (_same, _bytes, _whole),
    "reduce-scatter": (_same, _bytes, _own_block),
    "scatter": (_same, _bytes, _own_block),
    "all-gather": (_as_block, _bytes_of_all, _whole),
    "gather": (_as_block, _bytes_of_all, _whole),
    "all-to-all": (_as_block, _bytes, _own_column),
    "neighbour-exchange": (_as_sent, _bytes, _whole),
}
