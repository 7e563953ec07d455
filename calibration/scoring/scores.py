"""What became of each row and file of measurements: predicted beside measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from calibration.score_files.records import Baseline, Row, ScoreFile
from calibration.scoring.as_json import report_json
from calibration.scoring.as_text import report_text
from calibration.scoring.predictions import CollectivePrediction, Prediction
from calibration.scoring.statistics import Errors, summarize
from simulator.results.result import Engine


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
    prediction: Prediction | CollectivePrediction | None = None
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
        return report_text(self)

    def to_json(self) -> dict[str, Any]:
        """Return plain data; errors are signed fractions."""
        return report_json(self)
