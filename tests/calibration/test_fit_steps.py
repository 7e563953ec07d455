"""Constants that steps decide: known ones come back, whichever row is left out."""

from dataclasses import replace

import numpy as np
import pytest

from calibration.fitting.kernels import read_kernels
from calibration.fitting.steps import left_out, step_rows


def test_known_constants_come_back_without_any_one_row():
    truth = {"matrix_efficiency": 0.6, "overlap_slowdown": 0.3}
    asked = {
        "on": ["torchtitan"],
        "constants": {"matrix_efficiency": "0.55", "overlap_slowdown": "0.2"},
    }
    profile = read_kernels("h100-500w").profile
    rows = step_rows(asked, profile)
    used = np.ones(len(rows.ids), dtype=bool)
    times = rows.step_times(replace(profile, **truth), 1, used)[:, 0]
    found = left_out(asked, profile, replace(rows, measured=times))
    for name, value in truth.items():
        low, high = found[name]
        assert value == pytest.approx(low, rel=1e-3)
        assert value == pytest.approx(high, rel=1e-3)
