"""Fitting what only whole steps show of a device: `[steps]` in `fits/kernels`.

How much longer kernels take within a step than in a loop, how fast the products of
training are where no table of them was published, and how much kernels lose to messages
beside them. Least squares on log(predicted ÷ measured), by the exact analytical
engine, over the rows that score files mark as fitted on.

Limits: a handful of rows decide; `left_out` says how far each of them does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from calibration.fitting.repricing import Numbers
from calibration.fitting.rows import Chosen, Rows, lowered_rows
from calibration.score_files.files import read_score_files
from topologies.profile import Profile

_PUBLISHED = Path(__file__).parents[1] / "published"
_LOSS_SCALE = 0.02  # residuals beyond count linearly
_STEP = 2e-3  # relative, since the longest path has kinks


def step_rows(asked: Mapping[str, Any], profile: Profile) -> Rows:
    """Return the rows that constants are fitted on, lowered.

    Args:
        asked: names files (`on`), and `constants` with their first guesses.
        profile: of the device.
    """
    paths = [_PUBLISHED / f"{name}.toml" for name in asked["on"]]
    return lowered_rows(read_score_files(paths), profile)


def fit_steps(
    asked: Mapping[str, Any],
    profile: Profile,
    rows: Rows,
    used: Chosen | None = None,
) -> dict[str, float]:
    """Return the constants that suit rows best, the others as they are.

    Args:
        asked: names `constants`, with their first guesses.
        profile: whose constants are replaced.
        rows: measured.
        used: which of the rows; all if left out.
    """
    chosen = np.ones(len(rows.ids), dtype=bool) if used is None else used
    names = list(asked["constants"])

    def residuals(logs: Numbers) -> Numbers:
        tried = dict(zip(names, map(float, np.exp(logs)), strict=True))
        times = rows.step_times(replace(profile, **tried), 1, chosen)[:, 0]
        return np.asarray(np.log(times / rows.measured[chosen]))

    start = np.log([float(asked["constants"][name]) for name in names])
    found = least_squares(
        residuals, start, loss="soft_l1", f_scale=_LOSS_SCALE, diff_step=_STEP
    )
    return dict(zip(names, map(float, np.exp(found.x)), strict=True))


def left_out(
    asked: Mapping[str, Any], profile: Profile, rows: Rows
) -> dict[str, tuple[float, float]]:
    """Return the least and the most of each constant if any one row is left out."""
    fits = [
        fit_steps(asked, profile, rows, np.arange(len(rows.ids)) != row)
        for row in range(len(rows.ids))
    ]
    return {
        name: (min(each[name] for each in fits), max(each[name] for each in fits))
        for name in asked["constants"]
    }
