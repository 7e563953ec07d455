"""Fitting the constants of a profile to published step times.

    python -m calibration.fit a100

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

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy.optimize import least_squares

from calibration.declaration import Declaration, read_declaration
from calibration.files import ScoreFile, read_score_files
from calibration.repricing import (
    Kernels,
    Numbers,
    Structure,
    structure,
    with_constants,
)
from calibration.score import row_plan
from simulator.errors import Fault, PlanError
from topologies.profile import Profile
from topologies.units import Ratio

_STEP = 1e-4  # of a log, for derivatives
_AT_BOUND = 0.002  # of a log
_LARGEST_CHANGE = 1e-5  # of a log, at which the fit has converged
_MAX_EVALUATIONS = 60


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Measured rows, lowered.

    Fields:
        ids: file and row.
        structures: lowered plans.
        measured: step times [s].
        groups: number of each row's file.
    """

    ids: tuple[str, ...]
    structures: tuple[Structure, ...]
    measured: Numbers
    groups: NDArrayInt

    def weights(self, used: NDArrayBool) -> Numbers:
        """Return weights with the same total for each file; zero where not used."""
        weights = np.zeros(len(self.ids))
        groups = np.unique(self.groups[used])
        for group in groups:
            member = used & (self.groups == group)
            weights[member] = used.sum() / len(groups) / member.sum()
        return weights

    def step_times(self, profile: Profile, count: int, used: NDArrayBool) -> Numbers:
        """Return step times: a row each, a column for each profile [s]."""
        kernels: Kernels = {}
        return np.array(
            [
                one.step_times(profile, count, kernels)
                for one, is_used in zip(self.structures, used, strict=True)
                if is_used
            ]
        )


NDArrayInt = np.ndarray[tuple[int], np.dtype[np.int64]]
NDArrayBool = np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solution:
    """Fitted constants.

    Fields:
        logs: of the constants, in the order of the declaration.
        cost: half the weighted loss, in units of the loss scale [1].
        jacobian: of the weighted residuals, a column a constant.
        evaluations: of all rows [1].
    """

    logs: Numbers
    cost: float
    jacobian: Numbers
    evaluations: int


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

        Split conformal: of n sorted values the ⌈(n + 1) q⌉-th.

        Source: Vovk et al.; Lei et al., arXiv:1604.04173, section 2.
        """
        ordered = np.sort(self.held_out)
        count = len(ordered)
        high = min(count, int(np.ceil((count + 1) * 0.95))) - 1
        return float(ordered[count - 1 - high]), float(ordered[high])


class _Problem:
    """The weighted residuals as a function of the logs of the constants."""

    def __init__(self, declaration: Declaration, rows: Rows, used: NDArrayBool) -> None:
        self._declaration, self._rows, self._used = declaration, rows, used
        self._base = declaration.start_profile()
        self._weights = np.sqrt(rows.weights(used)[used])
        self._logs: Numbers | None = None
        self._residuals = np.empty(0)
        self.evaluations = 0

    def step_times(self, logs: Numbers) -> Numbers:
        """Return step times, a column for each row of `logs` [s]."""
        names = [fitted.name for fitted in self._declaration.fitted]
        values = dict(zip(names, np.exp(logs).T, strict=True))
        profile = with_constants(self._base, self._declaration.values(values))
        self.evaluations += len(logs)
        return self._rows.step_times(profile, len(logs), self._used)

    def weighted(self, logs: Numbers) -> Numbers:
        """Return sign(u) √(w ρ(u)), ρ(u) = 2 (√(1 + u²) - 1), u = residual / scale."""
        times = self.step_times(logs)
        measured = self._rows.measured[self._used][:, np.newaxis]
        u = np.log(times / measured) / self._declaration.loss_scale
        loss = 2 * (np.sqrt(1 + u**2) - 1)
        weighted: Numbers = self._weights[:, np.newaxis] * np.sign(u) * np.sqrt(loss)
        return weighted

    def residuals(self, logs: Numbers) -> Numbers:
        """Return the weighted residuals of one set of constants."""
        if self._logs is None or not np.array_equal(logs, self._logs):
            self._logs = logs.copy()
            self._residuals = self.weighted(logs[np.newaxis])[:, 0]
        return self._residuals

    def jacobian(self, logs: Numbers) -> Numbers:
        """Return derivatives of the weighted residuals, a column a constant."""
        base = self.residuals(logs)
        moved = logs + _STEP * np.eye(len(logs))
        return (self.weighted(moved) - base[:, np.newaxis]) / _STEP


def fit(declaration: Declaration, rows: Rows) -> Fit:
    """Return the constants that suit `rows` best."""
    everything = np.ones(len(rows.ids), dtype=bool)
    start = np.log([fitted.start for fitted in declaration.fitted])
    solution = solve(declaration, rows, everything, start)
    held_out = np.empty(len(rows.ids))
    for fold in folds(rows, declaration.folds):
        one = solve(declaration, rows, ~fold, solution.logs)
        times = _Problem(declaration, rows, fold).step_times(one.logs[np.newaxis])
        held_out[fold] = rows.measured[fold] / times[:, 0] - 1
    times = _Problem(declaration, rows, everything).step_times(
        solution.logs[np.newaxis]
    )
    low, high = _bounds(declaration)
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


def solve(
    declaration: Declaration, rows: Rows, used: NDArrayBool, start: Numbers
) -> Solution:
    """Return the least-squares constants on the rows in `used`, from a first guess."""
    problem = _Problem(declaration, rows, used)
    low, high = _bounds(declaration)
    margin = _AT_BOUND / 10  # the solver wants to begin inside
    found = least_squares(
        problem.residuals,
        np.clip(start, low + margin, high - margin),
        jac=problem.jacobian,
        bounds=(low, high),
        method="trf",
        x_scale=1.0,
        xtol=_LARGEST_CHANGE,
        ftol=_LARGEST_CHANGE,
        max_nfev=_MAX_EVALUATIONS,
    )
    return Solution(
        logs=found.x,
        cost=float(found.cost),
        jacobian=problem.jacobian(found.x),
        evaluations=problem.evaluations,
    )


def folds(rows: Rows, count: int) -> list[NDArrayBool]:
    """Return which rows each fold holds out: in each file every `count`-th."""
    place = np.zeros(len(rows.ids), dtype=np.int64)
    for group in np.unique(rows.groups):
        member = rows.groups == group
        place[member] = np.arange(member.sum())
    held = [place % count == fold for fold in range(count)]
    return [fold for fold in held if fold.any()]


def _bounds(declaration: Declaration) -> tuple[Numbers, Numbers]:
    low: Numbers = np.array([math.log(one.low) for one in declaration.fitted])
    high: Numbers = np.array([math.log(one.high) for one in declaration.fitted])
    return low, high


def _covariance(solution: Solution, is_free: NDArrayBool) -> Numbers:
    """Return the covariance of the logs of constants that are at no bound.

    s² (JᵀJ)⁻¹ with s² = 2 · cost / (rows - constants).
    """
    jacobian = solution.jacobian[:, is_free]
    rows, constants = jacobian.shape
    variance = 2 * solution.cost / max(1, rows - constants)
    inverse = np.linalg.pinv(jacobian.T @ jacobian)
    return np.asarray(variance * inverse, dtype=np.float64)


def lowered_rows(files: Sequence[ScoreFile], profile: Profile) -> Rows:
    """Return the rows that `files` mark as fitted on.

    Raises:
        PlanError: a row is invalid or has no step time.
    """
    ids, structures, measured, groups = [], [], [], []
    faults = []
    for number, file in enumerate(files):
        for row in file.rows:
            if not row.is_fit:
                continue
            time = row.measured.get("step_time_s")
            if time is None:
                problem = "is fitted on, and has no step_time_s"
                faults.append(Fault(row.id, problem, given=row.place))
                continue
            ids.append(f"{file.path}: {row.id}")
            structures.append(structure(row_plan(file, row), profile))
            measured.append(time)
            groups.append(number)
    if not ids and not faults:
        faults.append(Fault("fit", "no row of these files is marked as fitted on"))
    if faults:
        raise PlanError(faults, ", ".join(file.path for file in files))
    return Rows(
        ids=tuple(ids),
        structures=tuple(structures),
        measured=np.array(measured, dtype=float),
        groups=cast("NDArrayInt", np.array(groups, dtype=np.int64)),
    )


def mean_absolute(errors: Numbers) -> Ratio:
    """Return the mean of |e|."""
    return float(np.abs(errors).mean())


def fit_named(name: str) -> Fit:
    """Return the fit that `calibration/fits/NAME.toml` declares."""
    declaration = read_declaration(name)
    files = read_score_files(declaration.on)
    rows = lowered_rows(files, declaration.start_profile())
    return fit(declaration, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the fit that the command line names, and write its profile."""
    from calibration.fit_file import run  # noqa: PLC0415 - it reads this module

    return run(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
