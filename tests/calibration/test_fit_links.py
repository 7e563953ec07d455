"""Fitting links: known constants come back from times that the model made."""

from dataclasses import replace

import numpy as np
import pytest

from calibration.fitting.links import fit_links, profile_text, read_problem
from topologies.profile_file import load_profile

NAMES = [
    *("aws-p3-tcp", "b200", "deepbench-knl", "deepbench-plx10", "deepbench-plx8"),
    *("gb200", "h100"),
]


@pytest.fixture(scope="module")
def problem():
    return read_problem("deepbench-plx8")


def test_known_constants_come_back(problem):
    truth = [0.5, 0.4, 0.7, 5e-3]
    made = replace(problem, measured=problem.times(truth))
    assert fit_links(made) == pytest.approx(truth, rel=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_every_committed_profile_is_what_its_file_declares(name):
    declared, committed = read_problem(name), load_profile(name)
    moved = declared.moved
    values = []
    for constant, (low, high) in moved.items():
        link, _, key = constant.removeprefix("links.").rpartition(".")
        values.append(getattr(committed.links[link], key))
        assert low <= values[-1] <= high
    assert declared.profile(values).links == committed.links


def test_a_constant_that_follows_another_is_equal_to_it():
    links = load_profile("deepbench-plx10").links
    other = links["pcie-3-x16.nccl-single"]
    assert other.efficiency == links["pcie-3-x16"].efficiency


def test_the_text_says_what_was_fitted_on_what(problem):
    values = [np.sqrt(low * high) for low, high in problem.moved.values()]
    text = profile_text(problem, values)
    assert "rows = 28" in text
    assert 'on = "deepbench-allreduce"' in text


def test_a_profile_that_adds_links_has_the_rest_of_its_base():
    added, base = load_profile("aws-p3-tcp"), load_profile("generic")
    assert added.matrix_efficiency == base.matrix_efficiency
    assert base.basis in added.basis
    assert added.name == "aws-p3-tcp"
