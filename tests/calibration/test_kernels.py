"""Single convolutions of DeepBench: read as they are, and no worse than before."""

import csv

import pytest

from calibration.scoring import kernels

# Measured with today's formulas, rounded up: regressions show, gains do not.
MOST = {
    ("titan-x-maxwell", "4", "fp32", "forward"): 0.23,
    ("m40", "4", "fp32", "forward"): 0.24,
    ("p100-pcie-16gb", "4", "fp32", "forward"): 0.27,
    ("p100-pcie-16gb", "4", "fp32", "input"): 0.32,
    ("p100-pcie-16gb", "4", "fp32", "weight"): 0.40,
    ("v100-sxm2-16gb", "4", "fp32", "forward"): 0.42,
    ("v100-sxm2-16gb", "4", "fp32", "input"): 0.35,
    ("v100-sxm2-16gb", "4", "fp32", "weight"): 0.51,
}


@pytest.fixture(scope="module")
def best():
    return kernels.errors()


@pytest.mark.parametrize("group", MOST, ids=" ".join)
def test_convolutions_are_as_close_as_they_were(best, group):
    assert best[group].mape <= MOST[group]


@pytest.mark.parametrize("name", ["p100-pcie-16gb", "v100-sxm2-16gb"])
def test_a_choice_of_algorithms_nearly_halves_the_error_of_the_product(best, name):
    product = kernels.errors(kernels.PRODUCT)
    groups = [group for group in best if group[:3] == (name, "4", "fp32")]
    assert len(groups) == 3
    for group in groups:
        assert best[group].mape < 0.6 * product[group].mape


def test_strides_follow_from_sizes():
    lines = kernels.FILE.read_text("utf-8").splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert len(rows) == 564
    found = {k.name.split()[0]: k.work.filtering.stride for k in kernels.kernels()}
    for row in rows:
        # A single tap beside its maps, in empty padding, tells nothing.
        if (row["kernel_height"], row["padding"]) != ("1", "3"):
            assert found[row["id"]] == int(row["stride"])


def test_the_table_has_a_line_for_every_group(best):
    assert len(kernels.table().splitlines()) == 1 + len(best)
