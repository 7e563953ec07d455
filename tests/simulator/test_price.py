"""Prices compose like the kernels they stand for."""

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.pricing.price import NOTHING, Price, kernel, message

times = st.floats(0, 1e3)
items = st.tuples(st.sampled_from([kernel, message]), times, times)
runs = st.lists(items, min_size=1, max_size=12)
prices = runs.map(lambda run: in_a_row(price_of(item) for item in run))


def price_of(item):
    function, busy, host = item
    return function(busy, host)


def in_a_row(each):
    total = NOTHING
    for price in each:
        total = total.then(price)
    return total


def assert_same(one, other):
    # The same sums in another order.
    assert astuple(one) == pytest.approx(astuple(other), rel=1e-12, abs=1e-12)


def naive(run, device_ready, host_start):
    """End of device and host: kernel by kernel, as the hardware does it."""
    device, host = device_ready, host_start
    for _, busy, issue in run:
        host += issue
        device = max(device, host) + busy
    return device, host


@given(runs, times, times)
@settings(derandomize=True, deadline=None)
def test_a_price_is_the_recursion_over_its_kernels(run, device_ready, host_start):
    price = in_a_row(price_of(item) for item in run)
    device, host = naive(run, device_ready, host_start)
    end = max(device_ready + price.busy, host_start + price.issued)
    assert end == pytest.approx(device, rel=1e-9)
    assert host_start + price.host == pytest.approx(host, rel=1e-9)


@given(prices, prices, prices)
@settings(derandomize=True, deadline=None)
def test_then_is_associative(one, two, three):
    assert_same(one.then(two).then(three), one.then(two.then(three)))


@given(prices)
@settings(derandomize=True, deadline=None)
def test_nothing_changes_nothing(price):
    assert_same(price.then(NOTHING), price)
    assert_same(NOTHING.then(price), price)


@given(prices, st.integers(1, 40))
@settings(derandomize=True, deadline=None)
def test_repeat_is_then_with_itself(price, count):
    assert_same(price.repeat(count), in_a_row([price] * count))


@given(prices, st.integers(1, 6), st.integers(1, 6))
@settings(derandomize=True, deadline=None)
def test_repeats_add_up(price, few, more):
    assert_same(price.repeat(few).then(price.repeat(more)), price.repeat(few + more))
    assert_same(price.repeat(few).repeat(more), price.repeat(few * more))


@given(prices)
@settings(derandomize=True, deadline=None)
def test_parts_of_busy_add_up(price):
    assert price.compute + price.communication == pytest.approx(price.busy, rel=1e-12)
    assert price.issued >= max(price.busy, price.host) * (1 - 1e-12)
    assert price.issued <= (price.busy + price.host) * (1 + 1e-12)


@given(items, runs, times, times)
@settings(derandomize=True, deadline=None)
def test_beside_is_two_streams_that_start_and_end_together(
    sent, run, device_ready, host_start
):
    # The host issues the message, then the kernels; each stream waits for its own
    # kernels only, and what follows for both.
    together = message(*sent[1:]).beside(in_a_row(price_of(item) for item in run))
    message_end, host = naive([sent], device_ready, host_start)
    works_end, host = naive(run, device_ready, host)
    end = max(device_ready + together.busy, host_start + together.issued)
    assert end == pytest.approx(max(message_end, works_end), rel=1e-9)
    assert host_start + together.host == pytest.approx(host, rel=1e-9)
    assert together.compute + together.communication == pytest.approx(together.busy)


def test_a_kernel_on_paper():
    # Two kernels of 5 s, issued in 1 s each: the device starts after 1 s, ends at 11.
    # Two of 1 s issued in 5 s each: the second is issued at 10, ends at 11.
    slow_device, slow_host = kernel(5.0, 1.0).repeat(2), kernel(1.0, 5.0).repeat(2)
    assert slow_device == Price(10.0, 11.0, 2.0, 10.0, 0.0)
    assert slow_host == Price(2.0, 11.0, 10.0, 2.0, 0.0)


def test_fields_may_be_arrays():
    many = kernel(np.array([5.0, 1.0]), np.array([1.0, 5.0])).repeat(2)
    assert many.issued.tolist() == [11.0, 11.0]
    assert many.then(message(1.0, 0.0)).issued.tolist() == [12.0, 12.0]
