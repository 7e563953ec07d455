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
from itertools import islice

from calibration.score_files.files import read_score_files
from calibration.score_files.records import (
    CONSTANT_MFU,
    SPEEDUPS,
    Baseline,
    Row,
    ScoreFile,
)
from calibration.scoring.baselines import constant_mfu
from calibration.scoring.predictions import CollectivePrediction, Prediction, predict
from calibration.scoring.scores import (
    BaselineScore,
    Comparison,
    FileScore,
    RowScore,
    ScoreReport,
)
from calibration.scoring.statistics import summarize
from simulator.errors import Fault, PlanError, RehearsalError
from simulator.one_collective.plan import CollectivePlan, is_collective
from simulator.plan import Plan
from simulator.plans.places import finder, key_path
from simulator.progress import Progress
from simulator.results.result import Engine

_Plan = Plan | CollectivePlan
_Predicted = Prediction | CollectivePrediction | str
"""A prediction, or why there is none."""


def score_files(
    paths: Sequence[str | os.PathLike[str]],
    *,
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
    rows_of_files = [(row, plan) for file in files for row, plan in plans[file.path]]
    predicted: list[_Predicted] = []
    is_interrupted = False
    with _collector_paused(), Progress("scoring", len(rows_of_files)) as progress:
        try:
            for done, (row, plan) in enumerate(rows_of_files):
                progress.show(done, row.id)
                predicted.append(_predicted(plan, engine))
        except KeyboardInterrupt:
            is_interrupted = True
    if is_interrupted and not predicted:
        raise KeyboardInterrupt
    rest = iter(predicted)
    return ScoreReport(
        files=tuple(
            _score(file, reached)
            for file in files
            if (reached := list(islice(rest, len(file.rows))))
        ),
        engine=engine,
        has_rows=rows,
        is_interrupted=is_interrupted,
    )


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Leave cyclic garbage alone: large plans make many objects and no cycles.

    Looking through them takes half as long again as all the predictions.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def row_plan(file: ScoreFile, row: Row) -> _Plan:
    """Return the plan of a row: of training, or of a collective.

    Raises:
        PlanError: it is invalid.
    """
    kind = CollectivePlan if is_collective(file.plan) else Plan
    return kind.from_mapping(file.plan, row.overrides)


def _checked_plans(
    files: Iterable[ScoreFile],
) -> dict[str, list[tuple[Row, _Plan | str]]]:
    """Return the rows of each file, by path, with their plans or why there is none.

    Raises:
        PlanError: what all rows share is at fault.
    """
    plans: dict[str, list[tuple[Row, _Plan | str]]] = {}
    shared: list[Fault] = []
    sources: list[str] = []
    for file in files:
        found: list[tuple[Row, _Plan | str]] = []
        common: list[Fault] | None = None
        for row in file.rows:
            own: Sequence[Fault] = ()
            try:
                found.append((row, row_plan(file, row)))
            except PlanError as error:
                own = error.faults
                found.append((row, "; ".join(fault.text() for fault in own)))
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
    (line, column), _ = finder(file.text)(("plan", *key_path(fault.key)))
    return Fault(
        f"plan.{fault.key}",
        fault.problem,
        fault.remedy,
        given=f"{file.path}:{line}:{column}",
    )


def _predicted(plan: _Plan | str, engine: Engine) -> _Predicted:
    if isinstance(plan, str):
        return plan
    try:
        return predict(plan, engine)
    except RehearsalError as error:
        return f"cannot run: {error}"


def _score(file: ScoreFile, predicted: Sequence[_Predicted]) -> FileScore:
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
    predicted: _Predicted,
    known: Mapping[str, Prediction],
) -> RowScore:
    if isinstance(predicted, str):
        return RowScore(row=row, reason=f"{row.place}: {predicted}")
    names = [name for name in predicted.quantities if name in row.measured]
    if file.quantity in names:
        names.sort(key=lambda name: name != file.quantity)
    comparisons = []
    absent = ", ".join(name for name in row.measured if name not in names)
    reason = f"no {absent} is predicted of it" if absent else "nothing is measured"
    for name in names:
        if name not in SPEEDUPS:
            value = predicted.quantity(name)
        elif row.relative_to == row.id:
            reason = "speedups are relative to it"
            continue
        elif row.relative_to not in known:
            reason = f"{row.relative_to}, which it is relative to, was not predicted"
            continue
        else:
            rate = SPEEDUPS[name]
            value = predicted.quantity(rate) / known[row.relative_to].quantity(rate)
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
        if isinstance(score.prediction, Prediction)
        and "step_time_s" in score.row.measured
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
