"""The score report as plain data: what `simulate score --json` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from calibration.scoring.statistics import Errors

if TYPE_CHECKING:
    from calibration.scoring.scores import (
        BaselineScore,
        FileScore,
        RowScore,
        ScoreReport,
    )


def report_json(report: ScoreReport) -> dict[str, Any]:
    """Return the report; errors are signed fractions."""
    content: dict[str, Any] = {
        "engine": report.engine,
        "files": [_file_json(file, has_rows=report.has_rows) for file in report.files],
    }
    if report.is_interrupted:
        content["interrupted"] = True
    return content


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
