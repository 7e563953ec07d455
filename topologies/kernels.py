"""Kernels as a machine was measured to run them, one curve a function.

A profile may have, beside its constants, tables `[kernels.FORMAT]`: measured times of
single kernels by what they compute (`models.work.Work.function`). A point holds the
kernel's dimensions, its FLOP and bytes, and its time. Between points, what is
interpolated is how much longer a kernel took than its roofline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from topologies.units import (
    Bytes,
    BytesPerSecond,
    Flop,
    FlopPerSecond,
    Seconds,
    parse_quantity,
)


@dataclass(frozen=True, slots=True)
class Point:
    """One measured kernel.

    Fields:
        dims: what sets it apart from others of its function, such as rows, columns
            and inner dimension of a product; its bytes for those that only move [1].
        flop: of the kernel [FLOP].
        size: bytes read and written once [B].
        time: median [s].
    """

    dims: tuple[float, ...]
    flop: Flop
    size: Bytes
    time: Seconds


@dataclass(frozen=True, slots=True)
class KernelTable:
    """The measured kernels of one number format.

    Fields:
        start: of the roofline: time of a kernel that does nothing [s].
        rate: of the roofline: of the fastest product [FLOP/s].
        bandwidth: of the roofline: of the fastest copy [B/s].
        points: by function.
    """

    start: Seconds
    rate: FlopPerSecond
    bandwidth: BytesPerSecond
    points: Mapping[str, tuple[Point, ...]]


def parse_kernels(tables: Mapping[str, Any]) -> dict[str, KernelTable]:
    """Return the tables `[kernels.FORMAT]` of a profile file, by format."""
    return {name: _parse_table(table) for name, table in tables.items()}


def _parse_table(table: Mapping[str, Any]) -> KernelTable:
    return KernelTable(
        parse_quantity(table["start"], "s"),
        parse_quantity(table["rate"], "FLOP/s"),
        parse_quantity(table["bandwidth"], "B/s"),
        {
            function: tuple(_point(row) for row in rows)
            for function, rows in table["points"].items()
        },
    )


def _point(row: Sequence[float]) -> Point:
    """Return the point in a row: dimensions, then FLOP, bytes and seconds."""
    *dims, flop, size, time = map(float, row)
    return Point(tuple(dims), flop, size, time)
