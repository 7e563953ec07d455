"""How good are the predictions? Every row of published measurements, predicted.

    report = score_files(["calibration/published"])
    print(report.text())

Errors are signed fractions, predicted ÷ measured - 1. The numbers that count are over
rows that nothing was fitted on; the fitted rows stand apart. A row whose plan is
invalid is counted and named, and predicted nowhere.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from calibration.baselines import constant_mfu
from calibration.files import (
    CONSTANT_MFU,
    NOT_YET,
    QUANTITIES,
    Baseline,
    Row,
    ScoreFile,
    read_score_files,
)
from calibration.predictions import Prediction, predict
from calibration.progress import Progress
from calibration.statistics import Errors, summarize
from simulator.engines.graph import DeadlockError
from simulator.errors import Fault, PlanError, RehearsalError
from simulator.plan import Plan
from simulator.result import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One quantity of one row [SI units]; `error` is predicted ÷ measured - 1."""

    quantity: str
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        """The signed relative error [1]."""
        return self.predicted / self.measured - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RowScore:
    """A row and what became of it.

    Fields:
        row: as read.
        main: the quantity that counts; None if nothing was compared.
        others: further measured quantities.
        prediction: behind them; None if the plan is invalid.
        reason: why there is nothing to compare; empty if there is.
    """

    row: Row
    main: Comparison | None = None
    others: tuple[Comparison, ...] = ()
    prediction: Prediction | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineScore:
    """A baseline's errors on rows outside the fit; only `mape` if it was published.

    Fields:
        baseline: as read.
        mape: mean absolute error [1].
        errors: all of them, where they were computed here.
        constant: the fitted number, where there is one [1].
    """

    baseline: Baseline
    mape: float
    errors: Errors | None = None
    constant: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FileScore:
    """A score file, predicted.

    Fields:
        file: as read.
        rows: in the order of the file, as far as they were reached.
        baselines: other predictors.
    """

    file: ScoreFile
    rows: tuple[RowScore, ...]
    baselines: tuple[BaselineScore, ...]

    def compared(self, *, is_fit: bool) -> list[tuple[str, float]]:
        """Return ids and errors of rows inside, or outside, the fit."""
        return [
            (score.row.id, score.main.error)
            for score in self.rows
            if score.main and score.row.is_fit == is_fit
        ]

    @property
    def errors(self) -> Errors | None:
        """Over the rows that nothing was fitted on."""
        return summarize(self.compared(is_fit=False))

    @property
    def fit_errors(self) -> Errors | None:
        """Over the rows that were fitted on."""
        return summarize(self.compared(is_fit=True))

    @property
    def invalid(self) -> list[RowScore]:
        """Rows whose plan is invalid or cannot run."""
        return [score for score in self.rows if score.prediction is None]

    @property
    def not_compared(self) -> list[RowScore]:
        """Rows that were predicted, and have nothing to compare with."""
        return [score for score in self.rows if score.prediction and not score.main]

    @property
    def too_large(self) -> list[RowScore]:
        """Rows that ran, but are predicted not to fit in memory."""
        return [s for s in self.rows if s.prediction and not s.prediction.fits]

    def other_errors(self) -> dict[str, Errors]:
        """Return the errors of further quantities, outside the fit."""
        found: dict[str, list[tuple[str, float]]] = {}
        for score in self.rows:
            for other in score.others if not score.row.is_fit else ():
                found.setdefault(other.quantity, []).append((score.row.id, other.error))
        return {
            quantity: errors
            for quantity, pairs in found.items()
            if (errors := summarize(pairs))
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreReport:
    """Every file, predicted.

    Fields:
        files: in the order that they were named.
        engine: that predicted.
        has_rows: whether to list every row.
        is_interrupted: whether rows are missing because the user stopped.
    """

    files: tuple[FileScore, ...]
    engine: Engine
    has_rows: bool
    is_interrupted: bool = False

    def text(self) -> str:
        """Return tables for people."""
        from calibration.score_text import report_text  # noqa: PLC0415 - circular

        return report_text(self)

    def to_json(self) -> dict[str, Any]:
        """Return plain data; errors are signed fractions."""
        content: dict[str, Any] = {
            "engine": self.engine,
            "files": [_file_json(file, has_rows=self.has_rows) for file in self.files],
        }
        if self.is_interrupted:
            content["interrupted"] = True
        return content


def score_files(
    paths: Sequence[str | os.PathLike[str]],
    rows: bool = False,
    engine: Engine = "analytical",
) -> ScoreReport:
    """Return the report on score files, folders of them, or patterns.

    Args:
        paths: what to score.
        rows: list every row.
        engine: that predicts.

    Raises:
        PlanError: with every fault of every file.
        KeyboardInterrupt: before any row was done; later ones end the report early.
    """
    files = read_score_files(paths)
    plans = _checked_plans(files)
    progress = Progress("rows scored", sum(len(file.rows) for file in files))
    done: list[FileScore] = []
    is_interrupted = False
    with _collector_paused(), progress:
        for file in files:
            predicted: list[Prediction | str] = []
            try:
                for plan in plans[file.path]:
                    predicted.append(_predicted(plan, engine))
                    progress.advance()
            except KeyboardInterrupt:
                is_interrupted = True
            if predicted:
                done.append(_score(file, predicted))
            if is_interrupted:
                break
    if is_interrupted and not done:
        raise KeyboardInterrupt
    return ScoreReport(
        files=tuple(done), engine=engine, has_rows=rows, is_interrupted=is_interrupted
    )


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Leave cyclic garbage alone: large plans make many objects and no cycles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def row_plan(file: ScoreFile, row: Row) -> Plan:
    """Return the plan of a row.

    Raises:
        PlanError: it is invalid.
    """
    return Plan.from_mapping(file.plan, row.overrides)


def _checked_plans(files: Iterable[ScoreFile]) -> dict[str, list[Plan | str]]:
    """Return each file's plans, or why there is none.

    Raises:
        PlanError: what all rows share is at fault.
    """
    plans: dict[str, list[Plan | str]] = {}
    shared: list[Fault] = []
    sources: list[str] = []
    for file in files:
        found: list[Plan | str] = []
        common: list[Fault] | None = None
        for row in file.rows:
            own: Sequence[Fault] = ()
            try:
                found.append(row_plan(file, row))
            except PlanError as error:
                own = error.faults
                found.append("; ".join(fault.text() for fault in error.faults))
            of_base = [fault for fault in own if not fault.given]
            known = of_base if common is None else common
            common = [fault for fault in known if fault in of_base]
        if common:
            sources.append(file.path)
            shared += [_in_base(file, fault) for fault in common]
        plans[file.path] = found
    if shared:
        raise PlanError(shared, ", ".join(sources))
    return plans


def _in_base(file: ScoreFile, fault: Fault) -> Fault:
    """Return a fault of the [plan] table at its place in the file."""
    line, column = file.finder.place(("plan", *fault.key.split(".")))
    return Fault(
        f"plan.{fault.key}",
        fault.problem,
        fault.remedy,
        given=f"{file.path}:{line}:{column}",
    )


def _predicted(plan: Plan | str, engine: Engine) -> Prediction | str:
    if isinstance(plan, str):
        return plan
    try:
        return predict(plan, engine)
    except (RehearsalError, DeadlockError) as error:
        return f"cannot run: {error}"


def _score(file: ScoreFile, predicted: Sequence[Prediction | str]) -> FileScore:
    """Return a file's rows beside their predictions; there may be fewer of these."""
    reached = list(zip(file.rows, predicted, strict=False))
    known = {row.id: p for row, p in reached if isinstance(p, Prediction)}
    rows = tuple(_row_score(file, row, p, known) for row, p in reached)
    baselines = [_baseline_score(baseline, rows) for baseline in file.baselines]
    return FileScore(
        file=file,
        rows=rows,
        baselines=tuple(baseline for baseline in baselines if baseline),
    )


def _row_score(
    file: ScoreFile,
    row: Row,
    predicted: Prediction | str,
    known: Mapping[str, Prediction],
) -> RowScore:
    if isinstance(predicted, str):
        return RowScore(row=row, reason=f"{row.place}: {predicted}")
    names = [name for name in QUANTITIES if name in row.measured]
    if file.quantity in names:
        names.sort(key=lambda name: name != file.quantity)
    comparisons = []
    absent = ", ".join(name for name in row.measured if name in NOT_YET)
    reason = f"{absent} is not predicted yet" if absent else "nothing is measured"
    for name in names:
        if name != "speedup":
            value = predicted.quantity(name)
        elif row.relative_to == row.id:
            reason = "speedups are relative to it"
            continue
        elif row.relative_to not in known:
            reason = f"{row.relative_to}, which it is relative to, was not predicted"
            continue
        else:
            reference = known[row.relative_to].quantity("samples_per_s")
            value = predicted.quantity("samples_per_s") / reference
        comparisons.append(
            Comparison(quantity=name, measured=row.measured[name], predicted=value)
        )
    return RowScore(
        row=row,
        main=comparisons[0] if comparisons else None,
        others=tuple(comparisons[1:]),
        prediction=predicted,
        reason="" if comparisons else reason,
    )


def _baseline_score(
    baseline: Baseline, rows: Iterable[RowScore]
) -> BaselineScore | None:
    """Return a baseline's errors; None if there are no rows to compute them on."""
    if baseline.compute != CONSTANT_MFU:
        assert baseline.mape is not None
        return BaselineScore(baseline=baseline, mape=baseline.mape)
    times = [
        (score.row, score.prediction, score.row.measured["step_time_s"])
        for score in rows
        if score.prediction and "step_time_s" in score.row.measured
    ]
    fitted = [(p.ideal_time_s, time) for row, p, time in times if row.is_fit]
    if not fitted:
        return None
    constant = constant_mfu(*map(list, zip(*fitted, strict=True)))
    errors = summarize(
        [
            (row.id, p.ideal_time_s / constant / time - 1)
            for row, p, time in times
            if not row.is_fit
        ]
    )
    if errors is None:
        return None
    return BaselineScore(
        baseline=baseline, mape=errors.mape, errors=errors, constant=constant
    )


def _file_json(score: FileScore, *, has_rows: bool) -> dict[str, Any]:
    errors, fitted = score.errors, score.fit_errors
    content: dict[str, Any] = {
        "file": score.file.path,
        "title": score.file.title,
        "rows": len(score.rows),
        "fit_rows": sum(row.row.is_fit for row in score.rows),
        "scored_rows": errors.rows if errors else 0,
        "invalid_rows": len(score.invalid),
        "out_of_memory_rows": len(score.too_large),
        **_errors_json(errors),
        "fit": _errors_json(fitted) if fitted else None,
        "quantities": {
            name: _errors_json(other) for name, other in score.other_errors().items()
        },
        "baselines": {b.baseline.name: b.mape for b in score.baselines},
        "baseline_details": {
            b.baseline.name: _baseline_json(b) for b in score.baselines
        },
        "invalid": [{"id": s.row.id, "reason": s.reason} for s in score.invalid],
        "notes": dict(score.file.notes),
    }
    if has_rows:
        content["rows_detail"] = [_row_json(row) for row in score.rows]
    return content


def _errors_json(errors: Errors | None) -> dict[str, Any]:
    if errors is None:
        empty = dict.fromkeys(("mape", "bias", "median", "p90", "worst"))
        return {**empty}
    return {
        "mape": errors.mape,
        "bias": errors.bias,
        "median": errors.median,
        "p90": errors.p90,
        "worst": {"id": errors.worst_id, "error": errors.worst},
    }


def _baseline_json(score: BaselineScore) -> dict[str, Any]:
    content: dict[str, Any] = {
        "mape": score.mape,
        "rows": score.errors.rows if score.errors else score.baseline.rows,
        "source": score.baseline.source,
        "computed": bool(score.baseline.compute),
    }
    if score.errors:
        content |= _errors_json(score.errors)
        content["constant"] = score.constant
    return content


def _row_json(score: RowScore) -> dict[str, Any]:
    main = score.main
    status = "scored" if main else "not compared" if score.prediction else "invalid"
    content: dict[str, Any] = {
        "id": score.row.id,
        "measured": main.measured if main else None,
        "predicted": main.predicted if main else None,
        "error": main.error if main else None,
        "quantity": main.quantity if main else None,
        "fit": score.row.is_fit,
        "status": status,
    }
    if score.prediction:
        content["fits_memory"] = score.prediction.fits
    if score.others:
        content["others"] = {
            other.quantity: {
                "measured": other.measured,
                "predicted": other.predicted,
                "error": other.error,
            }
            for other in score.others
        }
    if score.reason:
        content["reason"] = score.reason
    return content
