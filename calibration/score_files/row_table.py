"""Rows that stand in a CSV table, and what a score file says about its columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from calibration.score_files.reading import Reading
from calibration.score_files.records import QUANTITIES, Row
from calibration.score_files.tables import Table
from calibration.score_files.values import is_near_whole, is_number, is_whole, positive
from simulator.plans.fields import shown
from simulator.plans.hints import choices
from simulator.plans.overrides import parse_value
from simulator.plans.places import KeyPath


class _Target(NamedTuple):
    """What a column says: a plan key, `measured.…`, `id`, `fit` or `relative_to`."""

    column: str
    key: str
    scale: float


def table_rows(reading: Reading, table: Table) -> list[Row]:
    """Return the rows of a table; none where the file misunderstands its columns."""
    targets = _targets(reading, table)
    derived = _derived(reading, table)
    is_fit = _fitted(reading, len(table.cells))
    if not any(target.key.startswith("measured.") for target in targets):
        remedy = 'add such as time_ms = { to = "measured.step_time_s" }'
        reading.fault(("columns",), "no column is measured", remedy)
    if reading.faults.found:
        return []
    reference = str(reading.mapping.get("relative_to", ""))
    rows = []
    for cells, line, is_row_fit in zip(table.cells, table.lines, is_fit, strict=True):
        values = _Cells(reading, f"{table.path}:{line}:1")
        for target in targets:
            values.put(target, cells[target.column])
        for target in derived:
            values.derive(target, cells[target.column])
        rows.append(
            Row(
                id=values.texts.get("id", f"line {line}"),
                place=values.place,
                overrides=values.overrides,
                measured=values.measured,
                is_fit=values.flags.get("fit", is_row_fit),
                relative_to=values.texts.get("relative_to", reference),
            )
        )
    return rows


def _targets(reading: Reading, table: Table) -> list[_Target]:
    """Return what the columns say."""
    found: list[_Target] = []
    for column, given in reading.table(("columns",)).items():
        path = ("columns", column)
        spec = {"to": given} if isinstance(given, str) else given
        if not isinstance(spec, dict) or not isinstance(spec.get("to"), str):
            remedy = 'write "model.hidden", or { to = "...", scale = 0.001 }'
            problem = f"takes a key of the plan, got {shown(given)}"
            reading.fault(path, problem, remedy)
            continue
        reading.check_keys(spec, ("to", "scale"), path)
        key, scale = spec["to"], spec.get("scale", 1)
        if not is_number(scale) or scale <= 0:
            reading.fault((*path, "scale"), f"takes a number, got {shown(scale)}")
            scale = 1
        _check_column(reading, column, path, table)
        _check_target(reading, key, path)
        if key in (known.key for known in found):
            reading.fault(path, f"another column says {key} as well")
        found.append(_Target(column, key, scale))
    return found


def _check_column(
    reading: Reading, column: object, path: KeyPath, table: Table
) -> None:
    if column not in table.columns:
        remedy = choices(str(column), table.columns)
        problem = f"{Path(table.path).name} has no column {shown(column)}"
        reading.fault(path, problem, remedy)


def _check_target(reading: Reading, key: str, path: KeyPath) -> None:
    kind, _, name = key.partition(".")
    if key in {"id", "fit", "relative_to"}:
        return
    if kind == "measured":
        reading.is_quantity(name, path)
    else:
        reading.check_plan_key(key, path)


def _derived(reading: Reading, table: Table) -> list[_Target]:
    """Return plan keys that are a multiple of a column."""
    found = []
    for key, spec in reading.table(("derived",)).items():
        path = ("derived", key)
        reading.check_plan_key(key, path)
        wanted = {"from", "divide_by"}, {"from", "multiply_by"}
        if not isinstance(spec, dict) or spec.keys() not in wanted:
            remedy = 'write { from = "gpus", divide_by = 8 }, or multiply_by'
            reading.fault(path, "takes a column and one factor", remedy)
            continue
        is_quotient = "divide_by" in spec
        given: Any = spec["divide_by" if is_quotient else "multiply_by"]
        if not is_number(given) or given <= 0:
            reading.fault(path, f"takes a number above zero, got {shown(given)}")
            continue
        _check_column(reading, spec["from"], path, table)
        factor = 1 / given if is_quotient else float(given)
        found.append(_Target(str(spec["from"]), key, factor))
    return found


def _fitted(reading: Reading, count: int) -> list[bool]:
    """Return for each row whether the file says that it was fitted on."""
    every = reading.mapping.get("fit_every")
    chosen = reading.mapping.get("fit_rows")
    if every is not None and chosen is not None:
        reading.fault(("fit_rows",), "fit_every is given as well", "keep one")
    if every is not None:
        if not is_whole(every) or every < 1:
            problem = f"takes a whole number above zero, got {shown(every)}"
            reading.fault(("fit_every",), problem)
            return [False] * count
        return [index % every == 0 for index in range(count)]
    if chosen is None:
        return [False] * count
    if not isinstance(chosen, list) or not all(map(is_whole, chosen)):
        reading.fault(("fit_rows",), "takes row numbers from 0, such as [0, 3]")
        return [False] * count
    for index in chosen:
        if not 0 <= index < count:
            problem = f"there is no row {index}: the table has {count}, from 0"
            reading.fault(("fit_rows",), problem)
    return [index in chosen for index in range(count)]


@dataclass(slots=True)
class _Cells:
    """What the cells of one line of a table say."""

    reading: Reading
    place: str
    overrides: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    flags: dict[str, bool] = field(default_factory=dict)

    def put(self, target: _Target, cell: str) -> None:
        """Take in one cell; an empty one leaves the base plan's value.

        Of what was measured, a row may lack all but the file's main quantity.
        """
        kind, _, name = target.key.partition(".")
        if kind == "measured":
            if not cell and name != self._main_quantity(name):
                return
            try:
                number = positive(cell, QUANTITIES.get(name, "s"))
            except ValueError as error:
                self._fault(target.column, str(error))
            else:
                self.measured[name] = target.scale * number
        elif target.key == "fit":
            if cell.lower() not in {"true", "false", "1", "0", ""}:
                self._fault(target.column, f"takes true or false, got {shown(cell)}")
            self.flags["fit"] = cell.lower() in {"true", "1"}
        elif not cell:
            return
        elif target.key in {"id", "relative_to"}:
            self.texts[target.key] = cell
        elif target.scale == 1:
            self.overrides[target.key] = parse_value(cell)
        else:
            self.derive(target, cell)

    def _main_quantity(self, otherwise: str) -> str:
        """Return the file's main quantity, or another where it says none."""
        meta = self.reading.mapping.get("meta")
        given = meta.get("quantity") if isinstance(meta, dict) else None
        return given if isinstance(given, str) else otherwise

    def derive(self, target: _Target, cell: str) -> None:
        """Set a plan key to a multiple of a cell; whole where the multiple is."""
        value = parse_value(cell)
        if not is_number(value):
            self._fault(target.column, f"takes a number, got {shown(cell)}")
            return
        scaled = value * target.scale
        is_whole_multiple = is_near_whole(scaled)
        self.overrides[target.key] = round(scaled) if is_whole_multiple else scaled

    def _fault(self, column: str, problem: str) -> None:
        self.reading.fault_at(self.place, column, problem)
