"""Who keeps which part of every tensor, and messages made of such parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from calibration.modules import LayerModule, Part
from simulator.pricing.servers import assigned


class Piece(NamedTuple):
    """Consecutive elements of a tensor.

    Fields:
        tensor: its number in the model.
        begin, end: elements, as if it had one dimension.
    """

    tensor: int
    begin: int
    end: int

    @property
    def length(self) -> int:
        """Elements [1]."""
        return self.end - self.begin


Pieces = tuple[Piece, ...]


def length(pieces: Pieces) -> int:
    """Return the elements of all pieces [1]."""
    return sum(each.length for each in pieces)


def evenly(pieces: Pieces, count: int) -> list[Pieces]:
    """Return equal parts of every piece, which differ by one element at most.

    >>> evenly((Piece(0, 0, 5),), 2)
    [(Piece(tensor=0, begin=0, end=2),), (Piece(tensor=0, begin=2, end=5),)]
    """
    return [
        tuple(
            Piece(
                tensor,
                begin + (end - begin) * number // count,
                begin + (end - begin) * (number + 1) // count,
            )
            for tensor, begin, end in pieces
        )
        for number in range(count)
    ]


def by_owner(pieces: Pieces, owners: Sequence[int], count: int) -> list[Pieces]:
    """Return the pieces of every owner.

    Args:
        pieces: to be divided.
        owners: by number of the tensor.
        count: owners [1].
    """
    return [
        tuple(each for each in pieces if owners[each.tensor] == owner)
        for owner in range(count)
    ]


def owners_of(part: Part, numbers: dict[int, int], count: int) -> list[int]:
    """Return who keeps each tensor whole: each variable goes to who has least.

    A variable is all that an operator has.

    Args:
        part: the whole model.
        numbers: of its tensors, by their `id`.
        count: of those who may keep them [1].
    """
    variables: list[list[int]] = []
    sizes: list[float] = []
    seen: set[int] = set()
    for layer in part.layers.values():
        assert isinstance(layer, LayerModule), "a part has layers"
        for step in layer.steps:
            own = list(layer.get_submodule(step.module).parameters())
            own = [each for each in own if id(each) not in seen]
            seen |= {id(each) for each in own}
            if own:
                variables.append([numbers[id(each)] for each in own])
                sizes.append(float(sum(each.numel() for each in own)))
    owners = [0] * len(numbers)
    for tensors, owner in zip(variables, assigned(tuple(sizes), count), strict=True):
        for number in tensors:
            owners[number] = owner
    return owners


def packed(tensors: Sequence[Tensor], pieces: Pieces, dtype: torch.dtype) -> Tensor:
    """Return pieces of tensors behind one another, on the CPU.

    Args:
        tensors: of the whole model.
        pieces: of some of them.
        dtype: of what is returned.
    """
    parts = [tensors[k].detach().flatten()[begin:end] for k, begin, end in pieces]
    if not parts:
        return torch.empty(0, dtype=dtype)
    return torch.cat(parts).to("cpu", dtype)


def picked(values: Tensor, whole: Pieces, wanted: Pieces) -> Tensor:
    """Return some pieces of a vector that has all of `whole`, behind one another."""
    if wanted == whole:
        return values
    parts = [values[begin:end] for begin, end in _places(whole, wanted)]
    return torch.cat([values[:0], *parts])


def put(values: Tensor, whole: Pieces, part: Tensor, given: Pieces) -> None:
    """Lay pieces down in a vector that has all of `whole`."""
    lengths = [each.length for each in given]
    for (begin, end), own in zip(
        _places(whole, given), part.split(lengths), strict=True
    ):
        values[begin:end] = own


@torch.no_grad()
def unpack(values: Tensor, parameters: Sequence[nn.Parameter], pieces: Pieces) -> None:
    """Write a vector of whole tensors to where they belong."""
    lengths = [each.length for each in pieces]
    for piece, own in zip(pieces, values.split(lengths), strict=True):
        target = parameters[piece.tensor]
        target.copy_(own.view_as(target))


def _places(whole: Pieces, wanted: Pieces) -> list[tuple[int, int]]:
    """Return where pieces are in a vector of pieces that contain them."""
    starts: dict[int, int] = {}
    at = 0
    for each in whole:
        starts[each.tensor] = at - each.begin
        at += each.length
    return [(starts[k] + begin, starts[k] + end) for k, begin, end in wanted]
