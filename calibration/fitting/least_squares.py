"""Constants that suit some rows best: weighted least squares under a soft loss.

The residual of a row is log(predicted / measured); see `profile.py` for why.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from calibration.fitting.declaration import Declaration
from calibration.fitting.repricing import Numbers, with_constants
from calibration.fitting.rows import Chosen, Rows

_STEP = 1e-4  # of a log, for derivatives
_MARGIN = 0.0002  # of a log: the solver wants to begin inside the bounds
_LARGEST_CHANGE = 1e-5  # of a log, at which the fit has converged
_MAX_EVALUATIONS = 60


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


class Problem:
    """The weighted residuals as a function of the logs of the constants."""

    def __init__(self, declaration: Declaration, rows: Rows, used: Chosen) -> None:
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


def solve(
    declaration: Declaration, rows: Rows, used: Chosen, start: Numbers
) -> Solution:
    """Return the least-squares constants on the rows in `used`, from a first guess."""
    problem = Problem(declaration, rows, used)
    low, high = bounds(declaration)
    found = least_squares(
        problem.residuals,
        np.clip(start, low + _MARGIN, high - _MARGIN),
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


def bounds(declaration: Declaration) -> tuple[Numbers, Numbers]:
    """Return the logs of the lowest and highest values of the fitted constants."""
    low: Numbers = np.array([math.log(one.low) for one in declaration.fitted])
    high: Numbers = np.array([math.log(one.high) for one in declaration.fitted])
    return low, high
