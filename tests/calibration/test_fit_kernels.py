"""Kernels that profiles rest on: committed constants are those that the fits find."""

from dataclasses import replace

import pytest

from calibration.fitting.kernels import fit_all, read_kernels
from topologies.profile_file import load_profile

BOUNDS = {  # MAPE of kernels that the fit did not see, by kind
    "b200": {"product": 0.08, "attention": 0.13},
    "h100-llm-foundry": {},  # steps alone
    "h100-500w": {},
}


@pytest.fixture(scope="module", params=BOUNDS)
def problem(request):
    return request.param, read_kernels(request.param)


def test_committed_constants_are_those_that_the_kernels_give(problem):
    name, kernels = problem
    committed = load_profile(name)
    for constant, value in fit_all(kernels).items():
        assert getattr(committed, constant) == pytest.approx(value, rel=1e-3)


def test_kernels_outside_the_fit_are_near(problem):
    name, kernels = problem
    constants = kernels.table.get("fitted", {})
    values = {key: getattr(kernels.profile, key) for key in constants}
    for kind, mape in BOUNDS[name].items():
        assert kernels.errors(values)[kind, False].mape <= mape


def test_known_constants_come_back():
    kernels = read_kernels("b200")
    truth = {"attention_efficiency": 0.5}
    rows = [each for each in kernels.kernels if each.kind == "attention"]
    times = kernels.times(rows, truth)
    made = replace(
        kernels,
        kernels=tuple(
            each._replace(time=float(time))
            for each, time in zip(rows, times, strict=True)
        ),
    )
    assert made.fit("attention") == pytest.approx(truth, rel=1e-3)
