"""The score report as text: one line a file, then each file's worst rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from calibration.score_files.records import QUANTITIES
from calibration.scoring.statistics import Errors
from simulator.reporting.columns import aligned
from topologies.units import format_memory, format_quantity

if TYPE_CHECKING:
    from calibration.scoring.scores import (
        BaselineScore,
        FileScore,
        RowScore,
        ScoreReport,
    )

_WORST = 5
_HEADING = ("", "rows", "MAPE", "bias", "median", "p90", "worst")
_ROW_HEADING = ("row", "measured", "predicted", "error")


def report_text(report: ScoreReport) -> str:
    """Return the report as text."""
    parts = [_file_text(file, has_rows=report.has_rows) for file in report.files]
    if len(report.files) > 1:
        rows = [(file.file.title, *_cells(file.errors)) for file in report.files]
        heading = ("outside the fit", *_HEADING[1:])
        parts.insert(0, "\n".join(aligned([heading, *rows], num_left=1)))
    parts.append(
        f"Errors are predicted / measured - 1, by the {report.engine} engine;"
        " median and p90 are of their sizes."
    )
    if report.is_interrupted:
        parts.append("Interrupted: rows after the last one shown are missing.")
    return "\n\n".join(parts)


def _file_text(score: FileScore, *, has_rows: bool) -> str:
    lines = [score.file.title, f"  {score.file.path}"]
    table = [_HEADING, ("outside the fit", *_cells(score.errors))]
    if score.fit_errors:
        table.append(("fitted on", *_cells(score.fit_errors)))
    table += [
        (f"{name}, outside the fit", *_cells(errors))
        for name, errors in score.other_errors().items()
    ]
    table += [_baseline_cells(baseline) for baseline in score.baselines]
    lines.append(_indented(table))
    lines += _reasons(score.invalid, "with an invalid plan")
    lines += _reasons(score.not_compared, "not compared")
    if score.too_large:
        names = ", ".join(row.row.id for row in score.too_large[:_WORST])
        more = ", ..." if len(score.too_large) > _WORST else ""
        count = _count(len(score.too_large), "row")
        lines.append(f"  {count} predicted not to fit in memory: {names}{more}")
    scored = [row for row in score.rows if row.main]
    shown = scored if has_rows else _worst(scored)
    if shown:
        lines.append("  every row" if has_rows else "  worst rows, outside the fit")
        lines.append(_indented([_ROW_HEADING, *map(_row_cells, shown)]))
    if has_rows and scored:
        ids = ", ".join(row.row.id for row in _worst(scored))
        lines.append(f"  worst outside the fit: {ids}")
    lines += [f"  {name}: {note}" for name, note in score.file.notes.items()]
    return "\n".join(lines)


def _reasons(rows: Sequence[RowScore], what: str) -> list[str]:
    """Return why rows have no error; a few of them where there are many."""
    if not rows:
        return []
    lines = [f"  {_count(len(rows), 'row')} {what}:"]
    lines += [f"    {row.row.id}: {row.reason}" for row in rows[:_WORST]]
    if len(rows) > _WORST:
        lines.append(f"    and {len(rows) - _WORST} more (--rows --json)")
    return lines


def _worst(rows: Iterable[RowScore]) -> list[RowScore]:
    """Return the five rows outside the fit with the largest errors."""
    outside = [row for row in rows if not row.row.is_fit]
    return sorted(outside, key=lambda r: -abs(r.main.error if r.main else 0))[:_WORST]


def _cells(errors: Errors | None) -> tuple[str, ...]:
    if errors is None:
        return ("0", "-", "-", "-", "-", "-")
    return (
        str(errors.rows),
        _percent(errors.mape),
        _signed(errors.bias),
        _percent(errors.median),
        _percent(errors.p90),
        f"{_signed(errors.worst)} ({errors.worst_id})",
    )


def _baseline_cells(score: BaselineScore) -> tuple[str, ...]:
    name = score.baseline.name
    if score.errors:
        label = f"{name} {score.constant:.3f}" if score.constant else name
        return (label, *_cells(score.errors))
    rows = str(score.baseline.rows or "?")
    return (name, rows, _percent(score.mape), "-", "-", "-", "-")


def _row_cells(score: RowScore) -> tuple[str, ...]:
    assert score.main is not None
    main = score.main
    mark = " (fitted on)" if score.row.is_fit else ""
    return (
        f"{score.row.id}{mark}",
        _value(main.measured, main.quantity),
        _value(main.predicted, main.quantity),
        _signed(main.error),
    )


def _value(value: float, quantity: str) -> str:
    unit = QUANTITIES[quantity]
    if unit == "B":
        return format_memory(value, 4)
    text = format_quantity(value, unit, 4)
    return text if unit == "s" or not quantity.endswith("_per_s") else f"{text} /s"


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _signed(value: float) -> str:
    return f"{100 * value:+.2f} %"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _indented(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as indented columns, the first to the left."""
    return "\n".join(f"  {line}" for line in aligned(rows, num_left=1))
