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
That a row's plan is invalid is not: the score counts such rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from calibration.score_files.reading import FaultList, Reading
from calibration.score_files.records import (
    CONSTANT_MFU,
    QUANTITIES,
    SPEEDUPS,
    Baseline,
    Row,
    ScoreFile,
)
from calibration.score_files.row_entries import entry_rows
from calibration.score_files.row_table import table_rows
from calibration.score_files.tables import Table, read_table
from calibration.score_files.values import is_whole, positive
from simulator.errors import Fault, PlanError
from simulator.plans.fields import shown
from simulator.plans.hints import choices
from simulator.plans.paths import anchored
from simulator.plans.places import KeyPath
from simulator.plans.reading import read_mapping

_TOP = (
    *("meta", "plan", "row", "table", "columns", "derived", "fit_every", "fit_rows"),
    *("relative_to", "baselines", "notes"),
)
_TABLE_ONLY = ("columns", "derived", "fit_every", "fit_rows")
_BASELINE = ("mape", "rows", "source", "compute")
_LARGEST_MAPE = 10.0  # as a fraction; what is more was meant in per cent


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
            problem = "is a folder without score files (*.toml)"
        elif not path.exists() and any(sign in path.name for sign in "*?["):
            found = sorted(path.parent.glob(path.name))
            problem = "is a pattern that no file matches"
        else:
            found, problem = [path], ""
        if not found:
            raise PlanError([Fault("file", problem)], str(path))
        yield from found


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
    reading = Reading(source, mapping, FaultList(text))
    file = _read(reading) if _is_score_file(reading) else None
    if file is None or reading.faults.found:
        raise PlanError(reading.faults.found, source)
    return file


def _not_about_plans(fault: Fault) -> Fault:
    """Return a fault of reading the file, without advice that is about plans."""
    if fault.problem == "is empty":
        return replace(fault, remedy="a score file needs [plan] and rows")
    problem = fault.problem.replace("not a plan", "not a score file")
    remedy = fault.remedy.replace("plans", "files")
    return replace(fault, problem=problem, remedy=remedy)


def _is_score_file(reading: Reading) -> bool:
    """Report keys that no score file has, and kinds of file that are none."""
    mapping = reading.mapping
    if "plan" not in mapping and {"model", "cluster"} & mapping.keys():
        remedy = "`simulate FILE` predicts it; a score file has it under [plan]"
        reading.fault((), "is a plan, not a score file", remedy)
        return False
    reading.check_keys(mapping, _TOP, ())
    if "plan" not in mapping:
        reading.fault(("plan",), "the table is missing", "add [plan.model]")
    if ("table" in mapping) == ("row" in mapping):
        both = "table" in mapping
        problem = "both a table and rows are given" if both else "there are no rows"
        remedy = "keep one of the two" if both else "add [[row]], or table = FILE"
        reading.fault(("row",) if both else (), problem, remedy)
        return False
    if "row" in mapping:
        for key in _TABLE_ONLY:
            if key in mapping:
                remedy = "fit = true belongs in [[row]]" if "fit" in key else ""
                reading.fault((key,), "is about a table, and there is none", remedy)
    return True


def _read(reading: Reading) -> ScoreFile | None:
    """Return the file, complete only if there are no faults; None without rows."""
    if "row" in reading.mapping:
        rows = entry_rows(reading)
    elif table := _table(reading):
        rows = table_rows(reading, table)
    else:
        return None
    _check_references(reading, rows)
    meta = reading.table(("meta",))
    quantity = meta.get("quantity")
    return ScoreFile(
        path=reading.source,
        title=str(meta.get("title", Path(reading.source).stem)),
        plan=anchored(reading.table(("plan",)), Path(reading.source).parent),
        rows=tuple(rows),
        quantity=quantity if quantity in QUANTITIES else "",
        baselines=tuple(_baselines(reading, rows)),
        notes={k: str(v) for k, v in reading.table(("notes",)).items()},
        text=reading.faults.text,
    )


def _table(reading: Reading) -> Table | None:
    name = reading.mapping["table"]
    if not isinstance(name, str):
        reading.fault(("table",), f"takes the name of a file, got {shown(name)}")
        return None
    try:
        return read_table(Path(reading.source).parent / name)
    except PlanError as error:
        reading.faults.found += [_placed(f, error.source) for f in error.faults]
        return None


def _check_references(reading: Reading, rows: list[Row]) -> None:
    known: set[str] = set()
    for row in rows:
        if row.id in known:
            reading.fault_at(row.place, "id", f"{shown(row.id)} is given to two rows")
        known.add(row.id)
    for row in rows:
        named = next((name for name in SPEEDUPS if name in row.measured), None)
        if named and row.relative_to not in known:
            problem = f"of {row.id} refers to {shown(row.relative_to)}"
            remedy = 'add relative_to = "ID" of the row that is 1'
            if row.relative_to:
                remedy = choices(row.relative_to, sorted(known))
            reading.fault_at(row.place, named, problem, remedy)


def _baselines(reading: Reading, rows: list[Row]) -> Iterator[Baseline]:
    for name, given in reading.table(("baselines",)).items():
        path = ("baselines", name)
        spec = given if isinstance(given, dict) else {"mape": given}
        reading.check_keys(spec, _BASELINE, path)
        compute, mape = spec.get("compute", ""), None
        if compute not in {"", CONSTANT_MFU}:
            remedy = f"allowed: {CONSTANT_MFU}"
            reading.fault((*path, "compute"), f"unknown {shown(compute)}", remedy)
        elif compute and not any(row.is_fit for row in rows):
            problem = "needs rows that it may be fitted on, and there are none"
            reading.fault(path, problem, "mark some with fit = true, or fit_every")
        elif not compute:
            mape = _mape(reading, spec.get("mape"), path)
        count = spec.get("rows")
        yield Baseline(
            name=name,
            mape=mape,
            rows=count if is_whole(count) else None,
            source=str(spec.get("source", "")),
            compute=compute,
        )


def _mape(reading: Reading, value: object, path: KeyPath) -> float:
    try:
        mape = positive(value, "1")
    except ValueError as error:
        reading.fault(path, str(error))
        return 0.0
    if mape > _LARGEST_MAPE:
        remedy = f"write {mape / 100:g}, or '{mape:g} %'"
        reading.fault(path, f"takes a fraction, got {mape:g}", remedy)
    return mape
