"""Which part of a grid an operator reads to write a part of another one.

A locally connected layer divides by neurons: the ranks form a grid, and each holds a
patch of the output and the weights of its places. What its windows read beyond the
rank's own patch of the input is what its neighbours must send.

Limits: patches are the same places of every grid, as evenly as they go: of n places
over g ranks, rank i has those from i n // g on. Places between windows that their
stride skips count as read.
"""

from __future__ import annotations

from itertools import product
from math import isqrt
from typing import NamedTuple


class Window(NamedTuple):
    """What one place of the output reads, along one dimension of a grid.

    Fields:
        size: places of the input that one place of the output reads [1].
        stride: places of the input between two neighbours of the output [1].
    """

    size: int
    stride: int = 1

    def reads(self, places: float) -> float:
        """Return how many places of the input so many neighbours of the output read.

        (places - 1) stride + size

        Args:
            places: of the output, side by side [1].
        """
        return (places - 1) * self.stride + self.size


class RankGrid(NamedTuple):
    """Ranks as rows and columns [1]."""

    rows: int
    columns: int

    def ranks(self) -> dict[tuple[int, int], int]:
        """Return the rank of each cell, by row and column.

        Where both sides are even, four cells of a square are four ranks in a row, and
        squares are numbered in the same way; else row by row. Ranks of a node are then
        neighbours along both dimensions.

        >>> sorted(RankGrid(2, 4).ranks(), key=RankGrid(2, 4).ranks().get)[:5]
        [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2)]
        """
        if self.rows % 2 or self.columns % 2:
            cells = product(range(self.rows), range(self.columns))
            return {cell: rank for rank, cell in enumerate(cells)}
        squares = RankGrid(self.rows // 2, self.columns // 2).ranks()
        return {
            (2 * row + below, 2 * column + right): 4 * rank + 2 * below + right
            for (row, column), rank in squares.items()
            for below, right in product((0, 1), (0, 1))
        }


def rank_grid(ranks: float) -> RankGrid:
    """Return the squarest grid of so many ranks, no higher than wide.

    >>> rank_grid(8)
    RankGrid(rows=2, columns=4)
    """
    number = int(ranks)
    rows = next(n for n in range(isqrt(number), 0, -1) if number % n == 0)
    return RankGrid(rows, number // rows)


def bounds(places: int, ranks: int) -> list[range]:
    """Return the places of each rank along one dimension.

    >>> bounds(7, 3)
    [range(0, 2), range(2, 4), range(4, 7)]
    """
    return [range(i * places // ranks, (i + 1) * places // ranks) for i in range(ranks)]


class Sliding(NamedTuple):
    """A window that slides over a grid of places, each of several channels.

    Fields:
        window: of one place of the output, along either dimension.
        channels: numbers that it reads at each place of the input [1].
        inputs, outputs: height and width [1].
    """

    window: Window
    channels: int
    inputs: tuple[int, int]
    outputs: tuple[int, int]

    def patch(self, ranks: float) -> tuple[int, int]:
        """Return height and width of the largest patch of the output [1]."""
        return (
            -(-self.outputs[0] // rank_grid(ranks).rows),
            -(-self.outputs[1] // rank_grid(ranks).columns),
        )

    def share(self, ranks: float) -> float:
        """Return which part of the output the largest patch is [1]."""
        height, width = self.patch(ranks)
        return height * width / (self.outputs[0] * self.outputs[1])

    def read_elements(self, ranks: float) -> float:
        """Return the elements of the input that the largest patch reads [1]."""
        sides = zip(self.patch(ranks), self.inputs, strict=True)
        height, width = (min(self.window.reads(own), whole) for own, whole in sides)
        return self.channels * height * width

    def borrowed(self, ranks: int) -> tuple[tuple[int, int, int], ...]:
        """Return who holds what another reads: owner, reader, elements a sample."""
        grid = rank_grid(ranks)
        rank = grid.ranks()
        lent = (
            (rank[owner_row, owner_column], rank[row, column], height * width)
            for (owner_row, row), height in self._overlaps(0, grid.rows).items()
            for (owner_column, column), width in self._overlaps(1, grid.columns).items()
        )
        return tuple(
            (owner, reader, self.channels * places)
            for owner, reader, places in lent
            if owner != reader
        )

    def _overlaps(self, dimension: int, ranks: int) -> dict[tuple[int, int], int]:
        """Return how many places of an owner a reader reads, along one dimension."""
        inputs, outputs = self.inputs[dimension], self.outputs[dimension]
        size, stride = self.window
        padding = max(0, (outputs - 1) * stride + size - inputs) // 2
        found: dict[tuple[int, int], int] = {}
        for reader, own in enumerate(bounds(outputs, ranks)):
            first = max(0, own.start * stride - padding)
            last = min(inputs, (own.stop - 1) * stride - padding + size)
            for owner, held in enumerate(bounds(inputs, ranks)):
                common = min(last, held.stop) - max(first, held.start)
                if own and common > 0:
                    found[owner, reader] = common
        return found
