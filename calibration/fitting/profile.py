"""Fitting the constants of a profile to published step times.

    python -m calibration.fitting.profile a100

Least squares on log(predicted ÷ measured), by the exact analytical engine, over the
rows that score files mark as fitted on. The logs of the constants are moved, so that
they stay positive, between declared bounds (`calibration/fits`). Each file has the
same total weight. The loss is soft_l1, so that a row that nobody understands does not
bend all the others.

The interval of predictions comes from cross-validation within the same rows: each row
is predicted by constants that were fitted without it.

Limits: rows of one file resemble each other, so cross-validation is kinder than a new
cluster would be. Standard errors are from the linearised fit, and indicative.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.fitting.declaration import Declaration, read_declaration
from calibration.fitting.least_squares import Problem, Solution, bounds, solve
from calibration.fitting.repricing import Numbers
from calibration.fitting.rows import Chosen, Rows, folds, lowered_rows
from calibration.score_files.files import read_score_files
from topologies.units import Ratio

_AT_BOUND = 0.002  # of a log: a constant so near a bound is said to be at it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """Everything a profile file says.

    Fields:
        declaration: what was asked for.
        values: of the fitted constants, by name.
        standard_errors: of their logs; None for one at a bound [1].
        covariance: of the logs of those that have a standard error.
        at_bound: names of constants that stopped at a bound.
        errors: predicted ÷ measured - 1 of the rows fitted on [1].
        held_out: measured ÷ predicted - 1 of each row, by a fit without it [1].
        rows: fitted on.
        solution: of the fit on all of them.
    """

    declaration: Declaration
    values: dict[str, float]
    standard_errors: dict[str, Ratio | None]
    covariance: Numbers
    at_bound: tuple[str, ...]
    errors: Numbers
    held_out: Numbers
    rows: Rows
    solution: Solution

    def interval(self) -> tuple[float, float]:
        """Return the 5 % and 95 % quantiles of `held_out`, for one more such row.

        Every file counts the same, as in the fit, so that many rows of small runs
        do not speak for a few of large ones.

        Source: Tibshirani et al., Conformal Prediction under Covariate Shift,
            arXiv:1904.06019, section 2 (weighted split conformal).
        """
        sizes = np.bincount(self.rows.groups)
        weights = 1.0 / sizes[self.rows.groups]
        low = -_upper_quantile(-self.held_out, weights, 0.95)
        return low, _upper_quantile(self.held_out, weights, 0.95)


def _upper_quantile(values: Numbers, weights: Numbers, level: float) -> float:
    """Return the smallest value with at least `level` of the weight at or below it.

    One more row, of mean weight, is taken to lie above all. The largest value if even
    that has less below it.
    """
    order = np.argsort(values)
    covered = np.cumsum(weights[order]) / (weights.sum() + weights.mean())
    position = min(int(np.searchsorted(covered, level)), len(values) - 1)
    return float(values[order][position])


def fit(declaration: Declaration, rows: Rows) -> Fit:
    """Return the constants that suit `rows` best."""
    everything = np.ones(len(rows.ids), dtype=bool)
    start = np.log([fitted.start for fitted in declaration.fitted])
    solution = solve(declaration, rows, everything, start)
    held_out = np.empty(len(rows.ids))
    for fold in folds(rows, declaration.folds):
        one = solve(declaration, rows, ~fold, solution.logs)
        times = Problem(declaration, rows, fold).step_times(one.logs[np.newaxis])
        held_out[fold] = rows.measured[fold] / times[:, 0] - 1
    times = Problem(declaration, rows, everything).step_times(solution.logs[np.newaxis])
    low, high = bounds(declaration)
    is_free = (solution.logs > low + _AT_BOUND) & (solution.logs < high - _AT_BOUND)
    covariance = _covariance(solution, is_free)
    names = [fitted.name for fitted in declaration.fitted]
    free = [name for name, yes in zip(names, is_free, strict=True) if yes]
    deviations = dict(zip(free, np.sqrt(np.diag(covariance)), strict=True))
    return Fit(
        declaration=declaration,
        values=dict(zip(names, map(float, np.exp(solution.logs)), strict=True)),
        standard_errors={
            name: float(deviations[name]) if name in deviations else None
            for name in names
        },
        covariance=covariance,
        at_bound=tuple(name for name in names if name not in free),
        errors=times[:, 0] / rows.measured - 1,
        held_out=held_out,
        rows=rows,
        solution=solution,
    )


def _covariance(solution: Solution, is_free: Chosen) -> Numbers:
    """Return the covariance of the logs of constants that are at no bound.

    s² (JᵀJ)⁻¹ with s² = 2 · cost / (rows - constants).
    """
    jacobian = solution.jacobian[:, is_free]
    rows, constants = jacobian.shape
    variance = 2 * solution.cost / max(1, rows - constants)
    inverse = np.linalg.pinv(jacobian.T @ jacobian)
    return np.asarray(variance * inverse, dtype=np.float64)


def fit_named(name: str) -> Fit:
    """Return the fit that `calibration/fits/NAME.toml` declares."""
    declaration = read_declaration(name)
    files = read_score_files(declaration.on)
    rows = lowered_rows(files, declaration.start_profile())
    return fit(declaration, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the fit that the command line names, and write its profile."""
    from calibration.fitting.profile_file import run  # noqa: PLC0415 - it reads this module

    return run(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
