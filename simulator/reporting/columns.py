"""Cells of text and columns of them, for what a terminal shows."""

from __future__ import annotations

from collections.abc import Sequence

from topologies.units import PerSecond


def aligned(rows: Sequence[Sequence[str]], *, num_left: int) -> list[str]:
    """Return a line for each row, two spaces between columns.

    Args:
        rows: cells, equally many in each.
        num_left: columns aligned to the left; the others are to the right [1].

    >>> aligned([("name", "rows"), ("a", "12")], num_left=1)
    ['name  rows', 'a       12']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if number < num_left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def rate(value: PerSecond) -> str:
    """Return a throughput for people, without its unit.

    >>> rate(28.907), rate(59203.4)
    ('28.91', '59,203')
    """
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
