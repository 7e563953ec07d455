"""A scaling curve as a table: text for terminals, HTML for notebooks."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from simulator.reporting.columns import aligned, rate
from simulator.scaling.points import short_names
from topologies.units import format_memory, format_quantity

if TYPE_CHECKING:
    from simulator.scaling.curve import Scaling

_Row = dict[str, Any]
_Column = tuple[str, str, Callable[[Any], str]]
_NOTHING = "–"


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _seconds(value: float) -> str:
    return format_quantity(value, "s")


# Heading, name in the row, how it is written.
_COLUMNS: tuple[_Column, ...] = (
    ("devices", "devices", "{:,}".format),
    ("step time", "step_time_s", _seconds),
    ("samples/s", "samples_per_s", rate),
    ("tokens/s", "tokens_per_s", rate),
    ("speed-up", "speedup", "{:.2f}".format),
    ("efficiency", "efficiency", _percent),
    ("MFU", "mfu", _percent),
    ("exposed", "exposed_communication_share", _percent),
    ("bubble", "bubble_share", _percent),
    ("host", "host_share", _percent),
    ("memory", "memory_peak_bytes", format_memory),
)


def cells(scaling: Scaling) -> tuple[list[str], list[tuple[list[str], str]]]:
    """Return the headings and, by row, the cells and what is said behind them."""
    rows = scaling.rows
    names = short_names(scaling.keys)
    columns: list[_Column] = [(names[key], key, str) for key in scaling.keys]
    columns += [
        (heading, name, str)
        for heading, name in (("data", "data"), ("batch", "batch_global"))
        if len({row[name] for row in rows} - {None}) > 1 and heading not in _last(names)
    ]
    columns += [
        column
        for column in _COLUMNS
        if column[1] != "tokens_per_s" or any(row[column[1]] for row in rows)
    ]
    headings = [*(heading for heading, _, _ in columns), "status", "nine in ten cases"]
    body = [([*_written(row, columns), *_status(row)], row["reason"]) for row in rows]
    return headings, body


def _last(names: dict[str, str]) -> set[str]:
    """Return columns that already stand there as a key that varies."""
    return {"data"} & set(names.values()) | (
        {"batch"} if "batch.global" in names else set()
    )


def _written(row: _Row, columns: list[_Column]) -> list[str]:
    return [
        _NOTHING if row[name] is None else write(row[name])
        for _, name, write in columns
    ]


def _status(row: _Row) -> tuple[str, str]:
    status = str(row["status"]).replace("_", " ")
    if row["interval_low_s"] is None:
        return status, _NOTHING
    low, high = _seconds(row["interval_low_s"]), _seconds(row["interval_high_s"])
    return status, f"{low} … {high}"


def text_table(scaling: Scaling) -> str:
    """Return aligned columns; what is wrong with a point stands under it."""
    headings, body = cells(scaling)
    heading, *lines = aligned([headings, *(row for row, _ in body)], num_left=0)
    shown = [f"  {heading}"]
    for line, (_, reason) in zip(lines, body, strict=True):
        shown.append(f"  {line}")
        if reason:
            shown.append(f"      {reason}")
    return "\n".join(shown)


def html_table(scaling: Scaling) -> str:
    """Return heading, notes, table and answer as HTML."""
    headings, body = cells(scaling)
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    lines = []
    for row, reason in body:
        tip = f' title="{escape(reason)}"' if reason else ""
        data = "".join(f"<td>{escape(cell)}</td>" for cell in row)
        lines.append(f"<tr{tip}>{data}</tr>")
        if reason:
            lines.append(
                f'<tr><td colspan="{len(row)}"><i>{escape(reason)}</i></td></tr>'
            )
    notes = "".join(f"<br><small>{escape(note)}</small>" for note in scaling.notes)
    said = escape(scaling.answer).replace("\n", "<br>")
    return (
        f"<p><b>{escape(scaling.title)}</b>{notes}</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
        f"<p>{said}</p>"
    )
