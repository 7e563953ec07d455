"""Measured kernels: what was measured comes back, and between is between."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.work import matrix_work, memory_work
from simulator.pricing.measured import measured_time, roofline
from topologies.kernels import KernelTable, Point

SIZES = (4000.0, 64_000.0, 8_000_000.0)
TIMES = (2e-6, 9e-6, 3e-3)
CURVE = tuple(
    Point((size,), 0.0, size, time) for size, time in zip(SIZES, TIMES, strict=True)
)


def product(rows, columns, inner):
    dims = {"rows": rows, "columns": columns, "inner": inner, "batch": 1}
    return matrix_work("p", **dims, element=4, function="product forward")


def measured(work, time):
    dims = (work.rows, work.columns, work.inner, work.batch)
    return Point(dims, work.flop, work.size, time)


GRID = tuple(
    measured(product(rows, width, width), rows * width * width / 1e10)
    for rows in (8, 64, 512)
    for width in (16, 256)
)
TABLE = KernelTable(1e-6, 1e11, 1e10, {"relu": CURVE, "product forward": GRID})


@pytest.mark.parametrize("point", CURVE)
def test_a_measured_size_takes_what_was_measured(point):
    work = memory_work("r", point.size, function="relu")
    assert measured_time(work, TABLE) == pytest.approx(point.time)


@given(st.floats(min_value=1.0, max_value=1e10))
def test_the_ratio_to_the_roofline_lies_between_those_measured(size):
    ratios = [p.time / roofline(0.0, p.size, TABLE) for p in CURVE]
    time = measured_time(memory_work("r", size, function="relu"), TABLE)
    ratio = time / roofline(0.0, size, TABLE)
    assert min(ratios) * 0.999 <= ratio <= max(ratios) * 1.001


def test_a_measured_product_takes_nearly_what_was_measured():
    """Its neighbours weigh (0.05 / 2.1)^2 of it at most: under one part in 1,000."""
    time = measured_time(product(64, 256, 256), TABLE)
    assert time == pytest.approx(64 * 256 * 256 / 1e10, rel=0.01)


def test_functions_that_were_not_measured_have_no_time():
    assert measured_time(memory_work("g", 1000.0, function="gelu"), TABLE) is None
    assert measured_time(memory_work("g", 1000.0), TABLE) is None


def test_an_array_of_kernels_takes_what_each_takes():
    rows = np.array([8.0, 100.0, 700.0])
    times = [measured_time(product(each, 256, 256), TABLE) for each in rows]
    assert times == pytest.approx(measured_time(product(rows, 256, 256), TABLE))
