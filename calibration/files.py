"""Score files: published measurements, each beside the plan that it was made with.

    table = "runs.csv"                        # or [[row]] entries, see below
    fit_every = 3                             # rows 0, 3, 6 ... were used in fitting
    [meta]                                    # title, source, url, quantity, ...
    [plan.model]                              # what all rows share: a plan's tables
    [columns]                                 # what each column of the table says
    hidden = "model.hidden"
    time_ms = { to = "measured.step_time_s", scale = 0.001 }
    [derived]                                 # plan keys by one division or product
    "cluster.nodes" = { from = "gpus", divide_by = 8 }
    [baselines]                               # what others reach: MAPE, as a fraction
    [[row]]
    id = "8 devices"
    set = { "parallelism.tensor" = 8 }
    measured = { step_time_s = 1.23 }
    fit = true                                # used in fitting; false if left out

Everything wrong with a file is a `PlanError` whose lines begin `file:line:column`.
That a row's plan is invalid is not: the score counts such rows (`calibration.score`).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from calibration.places import Finder, KeyPath
from calibration.tables import Table, read_table
from simulator.errors import Fault, PlanError
from simulator.plans.fields import shown
from simulator.plans.messages import choices, nearest
from simulator.plans.reading import parse_value, read_mapping
from simulator.plans.records import plan_keys
from topologies.units import UnitError, parse_quantity

QUANTITIES: dict[str, str] = {
    "step_time_s": "s",
    "samples_per_s": "1",
    "tokens_per_s": "1",
    "tokens_per_s_per_device": "1",
    "mfu": "1",
    "speedup": "1",
    "memory_peak_bytes": "B",
}
"""What may be measured, and its unit; the first that a row has is its main one."""

NOT_YET = ("collective_time_s",)
"""What may be measured and is not predicted yet; such rows are counted and named."""

CONSTANT_MFU = "constant-mfu"
_TOP = (
    *("meta", "plan", "row", "table", "columns", "derived", "fit_every", "fit_rows"),
    *("relative_to", "baselines", "notes"),
)
_TABLE_ONLY = ("columns", "derived", "fit_every", "fit_rows")
_ROW = ("id", "set", "measured", "fit", "relative_to")
_BASELINE = ("mape", "rows", "source", "compute")
_ROW_HEADING = re.compile(r"^[ \t]*\[\[[ \t]*row[ \t]*\]\]", re.MULTILINE)
_LARGEST_MAPE = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One published measurement.

    Fields:
        id: unique in its file.
        place: file:line:column where it stands.
        overrides: dotted plan keys and their values.
        measured: positive numbers in SI units, by quantity.
        is_fit: whether constants were fitted on it.
        relative_to: id of the row that a speedup refers to; empty if none.
    """

    id: str
    place: str
    overrides: Mapping[str, Any]
    measured: Mapping[str, float]
    is_fit: bool
    relative_to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What another predictor reaches on such rows.

    Fields:
        name: the predictor.
        mape: its mean absolute error, published or measured elsewhere; None if it is
            computed here [1].
        rows: on how many rows; None if not said [1].
        source: where the number stands.
        compute: `constant-mfu`, or empty.
    """

    name: str
    mape: float | None = None
    rows: int | None = None
    source: str = ""
    compute: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreFile:
    """A file of published measurements.

    Fields:
        path: as it was named.
        title: for the report.
        plan: tables that all rows share.
        rows: measurements in the order of the file.
        quantity: main quantity of rows that have it; empty if not said.
        baselines: predictors to compare with.
        notes: worst rows and why, by row id.
        finder: places in the file.
    """

    path: str
    title: str
    plan: Mapping[str, Any]
    rows: tuple[Row, ...]
    quantity: str
    baselines: tuple[Baseline, ...]
    notes: Mapping[str, str]
    finder: Finder


def read_score_files(paths: Iterable[str | os.PathLike[str]]) -> list[ScoreFile]:
    """Return the score files at `paths`: files, folders of them, or patterns.

    Raises:
        PlanError: with every fault of every file.
    """
    files: list[ScoreFile] = []
    faults: list[Fault] = []
    sources: list[str] = []
    for path in _expanded(paths):
        try:
            files.append(read_score_file(path))
        except PlanError as error:
            faults += [_placed(fault, error.source) for fault in error.faults]
            sources.append(error.source)
    if faults:
        raise PlanError(faults, ", ".join(dict.fromkeys(sources)))
    return files


def _placed(fault: Fault, source: str) -> Fault:
    """Return a fault that says by itself in which file it is."""
    place = fault.given or f"{source}:{fault.line or 1}:{fault.column or 1}"
    return replace(fault, given=place)


def _expanded(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    for given in paths:
        path = Path(given)
        if path.is_dir():
            found = sorted(path.glob("*.toml"))
            if not found:
                fault = Fault("file", "is a folder without score files (*.toml)")
                raise PlanError([fault], str(path))
            yield from found
        elif not path.exists() and any(sign in path.name for sign in "*?["):
            found = sorted(path.parent.glob(path.name))
            if not found:
                fault = Fault("file", "is a pattern that no file matches")
                raise PlanError([fault], str(path))
            yield from found
        else:
            yield path


def read_score_file(path: str | os.PathLike[str]) -> ScoreFile:
    """Return the score file at `path`.

    Raises:
        PlanError: with every fault in it, and in its table.
    """
    source = os.fspath(path)
    try:
        text, mapping = read_mapping(path)
    except PlanError as error:
        raise PlanError(map(_not_about_plans, error.faults), source) from None
    reader = _Reader(source, Finder(text), mapping)
    file = reader.read(text)
    if reader.faults:
        raise PlanError(reader.faults, source)
    return file


def _not_about_plans(fault: Fault) -> Fault:
    """Return a fault of reading the file, without advice that is about plans."""
    if fault.problem == "is empty":
        return replace(fault, remedy="a score file needs [plan] and rows")
    problem = fault.problem.replace("not a plan", "not a score file")
    remedy = fault.remedy.replace("plans", "files")
    return replace(fault, problem=problem, remedy=remedy)


@dataclass(slots=True)
class _Reader:
    """Reads one file and collects what is wrong with it."""

    source: str
    finder: Finder
    mapping: Mapping[str, Any]
    faults: list[Fault] = field(default_factory=list)

    def fault(self, path: KeyPath, problem: str, remedy: str = "") -> None:
        """Add a fault of the key at `path`."""
        line, column = self.finder.place(path)
        key = ".".join(str(part) for part in path if isinstance(part, str))
        self.faults.append(Fault(key, problem, remedy, line, column))

    def read(self, text: str) -> ScoreFile:
        """Return the file; it is complete only if there are no faults."""
        if not self._is_score_file():
            raise PlanError(self.faults, self.source)
        meta = self.table(("meta",))
        table = self._table()
        rows = self._rows_of_table(table) if table else self._rows(text)
        self._check_references(rows)
        return ScoreFile(
            path=self.source,
            title=str(meta.get("title", Path(self.source).stem)),
            plan=self.table(("plan",)),
            rows=tuple(rows),
            quantity=_known_quantity(meta.get("quantity")),
            baselines=tuple(self._baselines(rows)),
            notes={k: str(v) for k, v in self.table(("notes",)).items()},
            finder=self.finder,
        )

    def _is_score_file(self) -> bool:
        """Report keys that no score file has, and kinds of file that are none."""
        if "plan" not in self.mapping and {"model", "cluster"} & self.mapping.keys():
            remedy = "`simulate FILE` predicts it; a score file has it under [plan]"
            self.faults.append(Fault("", "is a plan, not a score file", remedy))
            return False
        for key in self.mapping:
            if key not in _TOP:
                self.fault((key,), f"unknown key {shown(key)}", choices(key, _TOP))
        if "plan" not in self.mapping:
            fault = Fault("plan", "the table is missing", "add [plan.model]")
            self.faults.append(fault)
        if ("table" in self.mapping) == ("row" in self.mapping):
            both = "table" in self.mapping
            problem = "both a table and rows are given" if both else "there are no rows"
            remedy = "keep one of the two" if both else "add [[row]], or table = FILE"
            self.fault(("row",) if both else (), problem, remedy)
            return False
        if "row" in self.mapping:
            for key in _TABLE_ONLY:
                if key in self.mapping:
                    remedy = "fit = true belongs in [[row]]" if "fit" in key else ""
                    self.fault((key,), "is about a table, and there is none", remedy)
        return True

    def table(self, path: KeyPath) -> dict[str, Any]:
        """Return the table at `path`; an empty one where there is none."""
        found: Any = self.mapping
        for part in path:
            absent: Any = {}
            found = found.get(part, absent) if isinstance(found, dict) else found[part]
        if isinstance(found, dict):
            return found
        self.fault(path, f"takes a table, got {shown(found)}")
        return {}

    # -- [[row]] -----------------------------------------------------------------------

    def _rows(self, text: str) -> list[Row]:
        given = self.mapping["row"]
        if not isinstance(given, list) or not all(isinstance(r, dict) for r in given):
            self.fault(("row",), "takes tables", "write [[row]] above each")
            return []
        lines = [
            text.count("\n", 0, found.start()) + 1
            for found in _ROW_HEADING.finditer(text)
        ]
        if len(lines) != len(given):  # written another way, such as row = [{...}]
            lines = [1] * len(given)
        return [
            self._row(index, row, f"{self.source}:{line}:1")
            for index, (row, line) in enumerate(zip(given, lines, strict=True))
        ]

    def _row(self, index: int, row: dict[str, Any], place: str) -> Row:
        path = ("row", index)
        for key, value in row.items():
            if key in _ROW or (isinstance(value, str) and not nearest(key, _ROW)):
                continue  # text beside the known keys is a remark
            remedy = f"{choices(key, _ROW)}, or remarks as text"
            self.fault((*path, key), f"unknown key {shown(key)}", remedy)
        overrides = dict(_flattened(self.table((*path, "set"))))
        for key in overrides:
            self._check_plan_key(key, (*path, "set", key))
        measured = self.table((*path, "measured"))
        reference = row.get("relative_to", measured.get("relative_to"))
        numbers = {
            name: self._measured(name, value, (*path, "measured", name))
            for name, value in measured.items()
            if name != "relative_to"
        }
        if "measured" not in row:
            remedy = "add measured = { step_time_s = ... }"
            self.fault((*path, "measured"), "is missing", remedy)
        is_fit = row.get("fit", False)
        if not isinstance(is_fit, bool):
            problem = f"takes true or false, got {shown(is_fit)}"
            self.fault((*path, "fit"), problem)
        return Row(
            id=str(row.get("id", f"row {index + 1}")),
            place=place,
            overrides=overrides,
            measured=numbers,
            is_fit=is_fit is True,
            relative_to=str(reference or self.mapping.get("relative_to", "")),
        )

    def _check_plan_key(self, key: str, path: KeyPath) -> None:
        known = plan_keys()
        if key not in known:
            remedy = choices(key, known, "`simulate schema`")
            self.fault(path, f"{shown(key)} is no key of a plan", remedy)

    def _measured(self, name: str, value: object, path: KeyPath) -> float:
        """Return a measured number in SI units; 1 with a fault if it is none."""
        if name not in QUANTITIES and name not in NOT_YET:
            remedy = choices(name, list(QUANTITIES))
            self.fault(path, f"{shown(name)} is nothing that is predicted", remedy)
            return 1.0
        try:
            return positive(value, QUANTITIES.get(name, "s"))
        except ValueError as error:
            self.fault(path, str(error))
            return 1.0

    # -- table -------------------------------------------------------------------------

    def _table(self) -> Table | None:
        name = self.mapping.get("table")
        if name is None:
            return None
        if not isinstance(name, str):
            self.fault(("table",), f"takes the name of a file, got {shown(name)}")
            raise PlanError(self.faults, self.source)
        try:
            return read_table(Path(self.source).parent / name)
        except PlanError as error:
            self.faults += [_placed(fault, error.source) for fault in error.faults]
            raise PlanError(self.faults, self.source) from None

    def _rows_of_table(self, table: Table) -> list[Row]:
        targets = self._targets(table)
        derived = self._derived(table)
        is_fit = self._fitted(len(table.cells))
        if not any(target.startswith("measured.") for _, target, _ in targets):
            remedy = 'add such as time_ms = { to = "measured.step_time_s" }'
            self.fault(("columns",), "no column is measured", remedy)
        if self.faults:
            return []
        rows = []
        for index, (cells, line) in enumerate(
            zip(table.cells, table.lines, strict=True)
        ):
            values = _TableRow(self, f"{table.path}:{line}:1")
            for column, target, scale in targets:
                values.put(column, cells[column], target, scale)
            for key, column, factor in derived:
                values.derive(key, column, cells[column], factor)
            name = values.texts.get("id", f"line {line}")
            rows.append(
                Row(
                    id=name,
                    place=values.place,
                    overrides=values.overrides,
                    measured=values.measured,
                    is_fit=values.flags.get("fit", is_fit[index]),
                    relative_to=values.texts.get(
                        "relative_to", str(self.mapping.get("relative_to", ""))
                    ),
                )
            )
        return rows

    def _targets(self, table: Table) -> list[tuple[str, str, float]]:
        """Return column, what it says, and its scale."""
        found: list[tuple[str, str, float]] = []
        for column, given in self.table(("columns",)).items():
            path = ("columns", column)
            spec = {"to": given} if isinstance(given, str) else given
            if isinstance(spec, dict) and "key" in spec and "to" not in spec:
                spec = {"to" if key == "key" else key: v for key, v in spec.items()}
            if not isinstance(spec, dict) or not isinstance(spec.get("to"), str):
                remedy = 'write "model.hidden", or { to = "...", scale = 0.001 }'
                self.fault(path, f"takes a key of the plan, got {shown(given)}", remedy)
                continue
            for key in spec.keys() - {"to", "scale"}:
                remedy = choices(key, ("to", "scale"))
                self.fault((*path, key), f"unknown key {shown(key)}", remedy)
            target, scale = spec["to"], spec.get("scale", 1)
            if not _is_number(scale) or scale <= 0:
                self.fault((*path, "scale"), f"takes a number, got {shown(scale)}")
                scale = 1
            self._check_column(column, path, table)
            self._check_target(target, path)
            if target in (known for _, known, _ in found):
                self.fault(path, f"another column says {target} as well")
            found.append((column, target, scale))
        return found

    def _check_column(self, column: object, path: KeyPath, table: Table) -> None:
        if column not in table.columns:
            remedy = choices(str(column), table.columns)
            problem = f"{Path(table.path).name} has no column {shown(column)}"
            self.fault(path, problem, remedy)

    def _check_target(self, target: str, path: KeyPath) -> None:
        kind, _, name = target.partition(".")
        if target in {"id", "fit", "relative_to"}:
            return
        if kind != "measured":
            self._check_plan_key(target, path)
        elif name not in QUANTITIES and name not in NOT_YET:
            remedy = choices(name, list(QUANTITIES))
            self.fault(path, f"{shown(name)} is nothing that is predicted", remedy)

    def _derived(self, table: Table) -> list[tuple[str, str, float]]:
        """Return plan key, column, and the factor between them."""
        found = []
        for key, spec in self.table(("derived",)).items():
            path = ("derived", key)
            self._check_plan_key(key, path)
            wanted = {"from", "divide_by"}, {"from", "multiply_by"}
            if not isinstance(spec, dict) or spec.keys() not in wanted:
                remedy = 'write { from = "gpus", divide_by = 8 }, or multiply_by'
                self.fault(path, "takes a column and one factor", remedy)
                continue
            is_quotient = "divide_by" in spec
            given: Any = spec["divide_by" if is_quotient else "multiply_by"]
            if not _is_number(given) or given <= 0:
                self.fault(path, f"takes a number above zero, got {shown(given)}")
                continue
            self._check_column(spec["from"], path, table)
            factor = 1 / given if is_quotient else float(given)
            found.append((key, str(spec["from"]), factor))
        return found

    def _fitted(self, count: int) -> list[bool]:
        """Return for each row whether the file says that it was fitted on."""
        every, chosen = self.mapping.get("fit_every"), self.mapping.get("fit_rows")
        if every is not None and chosen is not None:
            self.fault(("fit_rows",), "fit_every is given as well", "keep one")
        if every is not None:
            if not _is_whole(every) or every < 1:
                problem = f"takes a whole number above zero, got {shown(every)}"
                self.fault(("fit_every",), problem)
                return [False] * count
            return [index % every == 0 for index in range(count)]
        if chosen is None:
            return [False] * count
        if not isinstance(chosen, list) or not all(map(_is_whole, chosen)):
            self.fault(("fit_rows",), "takes row numbers from 0, such as [0, 3]")
            return [False] * count
        for index in chosen:
            if not 0 <= index < count:
                problem = f"there is no row {index}: the table has {count}, from 0"
                self.fault(("fit_rows",), problem)
        return [index in chosen for index in range(count)]

    # -- the rest ----------------------------------------------------------------------

    def _check_references(self, rows: list[Row]) -> None:
        known: dict[str, Row] = {}
        for row in rows:
            if row.id in known:
                problem = f"{shown(row.id)} is given to two rows"
                self.faults.append(Fault("id", problem, given=row.place))
            known[row.id] = row
        for row in rows:
            needs = "speedup" in row.measured
            if needs and row.relative_to not in known:
                problem = f"of {row.id} refers to {shown(row.relative_to)}"
                remedy = 'add relative_to = "ID" of the row that is 1'
                if row.relative_to:
                    remedy = choices(row.relative_to, [*known])
                fault = Fault("speedup", problem, remedy, given=row.place)
                self.faults.append(fault)

    def _baselines(self, rows: list[Row]) -> Iterator[Baseline]:
        for name, given in self.table(("baselines",)).items():
            path = ("baselines", name)
            spec = given if isinstance(given, dict) else {"mape": given}
            for key in spec.keys() - set(_BASELINE):
                remedy = choices(key, _BASELINE)
                self.fault((*path, key), f"unknown key {shown(key)}", remedy)
            compute, mape = spec.get("compute", ""), None
            if compute not in {"", CONSTANT_MFU}:
                remedy = f"allowed: {CONSTANT_MFU}"
                self.fault((*path, "compute"), f"unknown {shown(compute)}", remedy)
            elif compute and not any(row.is_fit for row in rows):
                problem = "needs rows that it may be fitted on, and there are none"
                self.fault(path, problem, "mark some with fit = true, or fit_every")
            elif not compute:
                mape = self._mape(spec.get("mape"), path)
            count = spec.get("rows")
            source = str(spec.get("source", ""))
            yield Baseline(
                name=name,
                mape=mape,
                rows=count if _is_whole(count) else None,
                source=source,
                compute=compute,
            )

    def _mape(self, value: object, path: KeyPath) -> float:
        try:
            mape = positive(value, "1")
        except ValueError as error:
            self.fault(path, str(error))
            return 0.0
        if mape > _LARGEST_MAPE:
            remedy = f"write {mape / 100:g}, or '{mape:g} %'"
            self.fault(path, f"takes a fraction, got {mape:g}", remedy)
        return mape


@dataclass(slots=True)
class _TableRow:
    """What the cells of one line of a table say."""

    reader: _Reader
    place: str
    overrides: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    flags: dict[str, bool] = field(default_factory=dict)

    def put(self, column: str, cell: str, target: str, scale: float) -> None:
        """Take in one cell; an empty one leaves the base plan's value."""
        kind, _, name = target.partition(".")
        if kind == "measured":
            try:
                self.measured[name] = scale * positive(cell, QUANTITIES.get(name, "s"))
            except ValueError as error:
                self._fault(column, str(error))
        elif target == "fit":
            if cell.lower() not in {"true", "false", "1", "0", ""}:
                self._fault(column, f"takes true or false, got {shown(cell)}")
            self.flags["fit"] = cell.lower() in {"true", "1"}
        elif not cell:
            return
        elif target in {"id", "relative_to"}:
            self.texts[target] = cell
        elif scale == 1:
            self.overrides[target] = parse_value(cell)
        else:
            self.derive(target, column, cell, scale)

    def derive(self, key: str, column: str, cell: str, factor: float) -> None:
        """Set a plan key to a multiple of a cell; whole where the multiple is."""
        value = parse_value(cell)
        if not _is_number(value):
            self._fault(column, f"takes a number, got {shown(cell)}")
            return
        scaled = value * factor
        self.overrides[key] = round(scaled) if _is_near_whole(scaled) else scaled

    def _fault(self, column: str, problem: str) -> None:
        fault = Fault(column, problem, given=self.place)
        self.reader.faults.append(fault)


def positive(value: object, unit: str) -> float:
    """Return a number above zero in SI units, written as one or with its unit.

    Raises:
        ValueError: it is none; the message says what is wrong.

    >>> positive(2, "s"), positive("2 ms", "s"), positive("2", "s")
    (2.0, 0.002, 2.0)
    """
    number = _plain_number(value)
    if number is None:
        if not isinstance(value, str):
            raise ValueError(f"takes a number, got {shown(value)}")
        if not value.strip():
            raise ValueError("is empty")
        try:
            number = parse_quantity(value, unit)
        except UnitError as error:
            raise ValueError(str(error)) from None
    if not math.isfinite(number) or number <= 0:
        raise ValueError(f"must be above zero, got {shown(value)}")
    return number


def _plain_number(value: object) -> float | None:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return float(value) if _is_number(value) else None  # type: ignore[arg-type]  # just asked


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_near_whole(value: float) -> bool:
    return math.isclose(value, round(value), rel_tol=1e-9)


def _known_quantity(name: object) -> str:
    return name if isinstance(name, str) and name in QUANTITIES else ""


def _flattened(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and values: `parallelism.tensor` and "parallelism.tensor"."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
