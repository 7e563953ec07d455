"""CSV tables beside score files, as text cells with the lines they stand on."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from simulator.errors import Fault, PlanError


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file with a heading.

    Fields:
        path: of the file.
        columns: names in the heading.
        cells: text by column, a row each, without the space around it.
        lines: line of the file, from 1, where each row ends.
    """

    path: str
    columns: tuple[str, ...]
    cells: tuple[Mapping[str, str], ...]
    lines: tuple[int, ...]


def read_table(path: Path) -> Table:
    """Return the CSV file at `path`.

    Raises:
        PlanError: it cannot be read, or has rows of different lengths.
    """
    source = str(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or str(error)
        raise _error(source, 1, f"cannot be read: {reason}") from None
    except UnicodeDecodeError as error:
        raise _error(source, 1, f"is not UTF-8 text: {error.reason}") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                rows.append((reader.line_num, stripped))
    except csv.Error as error:
        raise _error(source, reader.line_num, f"is no CSV: {error}") from None
    if not rows:
        raise _error(source, 1, "is empty", "begin with a line of column names")
    return _table(source, rows)


def _table(source: str, rows: list[tuple[int, list[str]]]) -> Table:
    line, columns = rows[0]
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        problem = f"the column {twice[0]!r} is there twice"
        raise _error(source, line, problem)
    faults = [
        Fault(
            "table",
            f"has {len(cells)} cells, the heading has {len(columns)}",
            given=f"{source}:{line}:1",
        )
        for line, cells in rows[1:]
        if len(cells) != len(columns)
    ]
    if len(rows) == 1:
        faults.append(Fault("table", "has no rows", given=f"{source}:{line}:1"))
    if faults:
        raise PlanError(faults, source)
    return Table(
        source,
        tuple(columns),
        tuple(dict(zip(columns, cells, strict=True)) for _, cells in rows[1:]),
        tuple(line for line, _ in rows[1:]),
    )


def _error(source: str, line: int, problem: str, remedy: str = "") -> PlanError:
    fault = Fault("table", problem, remedy, given=f"{source}:{line}:1")
    return PlanError([fault], source)
