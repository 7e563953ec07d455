"""Text into SI floats and back."""

import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topologies.units import (
    UnitError,
    exact_quantity,
    format_memory,
    format_quantity,
    number_in,
    parse_quantity,
)

UNITS = ["s", "B", "B/s", "FLOP", "FLOP/s", "1"]


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("5 us", "s", 5e-6),  # 5 * 1e-6 is 4.9999999999999996e-06
        ("1.5us", "s", 1.5e-6),
        ("1.5 \u00b5s", "s", 1.5e-6),
        ("1.5 \u03bcs", "s", 1.5e-6),
        ("0.1 ms", "s", 1e-4),
        ("300 ns", "s", 3e-7),
        ("0 s", "s", 0.0),
        ("2 min", "s", 120.0),
        ("1.5 h", "s", 5400.0),
        ("90 d", "s", 7776000.0),
        ("80 GB", "B", 80e9),
        ("80 GiB", "B", 80 * 2**30),
        ("64 kB", "B", 64000.0),
        ("64 KiB", "B", 65536.0),
        ("1 Gbit", "B", 0.125e9),
        ("400 Gbit/s", "B/s", 50e9),
        ("400Gbps", "B/s", 50e9),
        ("2039 GB/s", "B/s", 2.039e12),
        ("56 Gbit/s", "B/s", 7e9),
        ("1 GiB/s", "B/s", 2**30),
        ("2 TFLOP", "FLOP", 2e12),
        ("3.14e23 FLOP", "FLOP", 3.14e23),
        ("312 TFLOP/s", "FLOP/s", 312e12),
        ("989 TFLOPS", "FLOP/s", 989e12),
        (" 1.5 PFLOP/s ", "FLOP/s", 1.5e15),
        ("0.5", "1", 0.5),
        ("50 %", "1", 0.5),
        ("7 %", "1", 0.07),  # 7 * 0.01 is 0.07000000000000001
        ("8", "1", 8.0),
        (".5", "1", 0.5),
        ("+2.", "1", 2.0),
    ],
)
def test_parse_is_exact_in_base_units(text, unit, expected):
    assert parse_quantity(text, unit) == expected


TAKES = {
    "s": "this takes a time, such as '1.5 us'",
    "B": "this takes an amount of data, such as '80 GB'",
    "B/s": "this takes a data rate, such as '400 Gbit/s'",
    "FLOP": "this takes an amount of arithmetic, such as '2 TFLOP'",
    "FLOP/s": "this takes a rate of arithmetic, such as '312 TFLOP/s'",
    "1": "this takes a plain number, such as '0.5' or '50 %'",
}


@pytest.mark.parametrize(
    ("text", "unit", "problem"),
    [
        ("80 GB", "s", "is an amount of data"),
        ("1.5 us", "B", "is a time"),
        ("80 GB", "B/s", "is an amount of data"),
        ("989 TFLOPS", "FLOP", "is a rate of arithmetic"),
        ("50 GB/s", "FLOP/s", "is a data rate"),
        ("2 TFLOP", "FLOP/s", "is an amount of arithmetic"),
        ("3 GiB", "1", "is an amount of data"),
        ("50 %", "s", "is a plain number"),
        ("400 gbps", "B/s", "has the unknown unit 'gbps' (did you mean 'Gbps'?)"),
        ("3 GBs", "B", "has the unknown unit 'GBs' (did you mean 'GB'?)"),
        ("3 parsec", "s", "has the unknown unit 'parsec'"),
        ("1,5 us", "s", "has the unknown unit ',5 us'"),
        ("-5 us", "s", "is negative"),
        ("-0.1", "1", "is negative"),
        ("0 GB/s", "B/s", "is zero"),
        ("0 FLOP/s", "FLOP/s", "is zero"),
        ("1e-999 B/s", "B/s", "is zero"),
        ("nan s", "s", "is not finite"),
        ("-inf", "1", "is not finite"),
        ("Infinity GB", "B", "is not finite"),
        ("1e999 s", "s", "is not finite in double precision"),
        ("1e99999999999999999999 s", "s", "is not finite in double precision"),
        ("fast", "s", "does not begin with a number"),
        ("", "s", "does not begin with a number"),
        ("us 5", "s", "does not begin with a number"),
    ],
)
def test_refusal_says_what_is_wrong_and_what_belongs_here(text, unit, problem):
    with pytest.raises(UnitError) as error:
        parse_quantity(text, unit)
    assert str(error.value) == f"{text!r} {problem}, {TAKES[unit]}"


@pytest.mark.parametrize(
    ("unit", "kind", "first", "second"),
    [
        ("s", "a time", "5 us", "5 ms"),
        ("B", "an amount of data", "5 GB", "5 GiB"),
        ("B/s", "a data rate", "5 Gbit/s", "5 GB/s"),
        ("FLOP", "an amount of arithmetic", "5 GFLOP", "5 TFLOP"),
        ("FLOP/s", "a rate of arithmetic", "5 GFLOP/s", "5 TFLOP/s"),
    ],
)
def test_bare_number_is_refused_with_two_spellings_that_work(unit, kind, first, second):
    with pytest.raises(UnitError) as error:
        parse_quantity("5", unit)
    advice = f"this takes {kind}, such as '{first}' or '{second}'"
    assert str(error.value) == f"'5' has no unit, {advice}"
    assert parse_quantity(first, unit) != parse_quantity(second, unit)


@pytest.mark.parametrize(
    ("text", "unit", "doubt", "first", "second"),
    [
        ("80 Gb", "B", "bits or bytes", "80 Gbit", "80 GB"),
        ("80 gb", "B", "bits or bytes", "80 Gbit", "80 GB"),
        ("8 b", "B", "bits or bytes", "8 bit", "8 B"),
        ("400 Gb/s", "B/s", "bits or bytes", "400 Gbit/s", "400 GB/s"),
        ("1 Gib/s", "B/s", "bits or bytes", "1 Gibit/s", "1 GiB/s"),
        ("64 KB", "B", "1000 or 1024 bytes", "64 kB", "64 KiB"),
        ("64 KB/s", "B/s", "1000 or 1024 bytes", "64 kB/s", "64 KiB/s"),
        ("5 m", "s", "minutes or milliseconds", "5 min", "5 ms"),
    ],
)
def test_ambiguous_unit_is_refused_with_both_readings(text, unit, doubt, first, second):
    with pytest.raises(UnitError) as error:
        parse_quantity(text, unit)
    spelling = text.split()[1]
    problem = f"{text!r} is ambiguous, {spelling!r} may mean {doubt}"
    assert str(error.value) == f"{problem}: write '{first}' or '{second}'"
    assert parse_quantity(first, unit) != parse_quantity(second, unit)


def test_a_count_and_a_rate_of_arithmetic_are_not_confused():
    with pytest.raises(UnitError, match="write '2 GFLOP' or '2 GFLOP/s'"):
        parse_quantity("2 GFLOPs", "FLOP")


def test_zero_is_a_time_an_amount_or_a_number():
    assert parse_quantity("0 us", "s") == 0
    assert parse_quantity("0 B", "B") == 0
    assert parse_quantity("0 FLOP", "FLOP") == 0
    assert parse_quantity("0", "1") == 0


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0.0, "s", "0 s"),
        (0.0, "1", "0"),
        (1.5e-6, "s", "1.50 us"),
        (1e-12, "s", "0.00100 ns"),
        (0.5, "s", "500 ms"),
        (0.9996, "s", "1.00 s"),
        (999.0, "s", "999 s"),
        (3600.0, "s", "60.0 min"),
        (864e5, "s", "1000 d"),
        (-2e-3, "s", "-2.00 ms"),
        (80e9, "B", "80.0 GB"),
        (1.0, "B", "1.00 B"),
        (50e9, "B/s", "50.0 GB/s"),
        (312e12, "FLOP/s", "312 TFLOP/s"),
        (3.14e23, "FLOP", "314 ZFLOP"),
        (3.14e33, "FLOP", "3.14e+12 ZFLOP"),
        (0.5, "1", "0.500"),
        (1234.0, "1", "1230"),
        (math.inf, "s", "inf s"),
        (math.nan, "1", "nan"),
    ],
)
def test_format_keeps_the_number_below_a_thousand(value, unit, expected):
    assert format_quantity(value, unit) == expected


def test_format_prints_the_digits_asked_for():
    assert format_quantity(1.23456e9, "B/s", digits=1) == "1 GB/s"
    assert format_quantity(1.23456e9, "B/s", digits=5) == "1.2346 GB/s"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (80 * 2**30, "80.0 GiB"),
        (80e9, "74.5 GiB"),
        (2**40, "1020 GiB"),
        (3 * 2**20, "3.00 MiB"),
        (0, "0 B"),
        (512, "512 B"),
    ],
)
def test_memory_is_displayed_in_binary_prefixes_up_to_gib(value, expected):
    assert format_memory(value) == expected


@pytest.mark.parametrize(
    ("value", "spelling", "expected"),
    [(0.0025, "us", 2500.0), (50e9, "GB/s", 50.0), (3.0, "s", 3.0), (2**30, "GiB", 1)],
)
def test_number_in_a_unit(value, spelling, expected):
    assert number_in(value, spelling) == expected


positive = st.floats(min_value=1e-300, max_value=1e300)


@settings(derandomize=True)
@given(positive, st.sampled_from(UNITS))
def test_exact_quantity_reads_back_the_same_float(value, unit):
    assert parse_quantity(exact_quantity(value, unit), unit) == value


@settings(derandomize=True)
@given(
    st.floats(min_value=1e-18, max_value=1e30),
    st.sampled_from(UNITS),
    st.integers(min_value=1, max_value=12),
)
def test_format_reads_back_to_the_printed_digits(value, unit, digits):
    text = format_quantity(value, unit, digits)
    # Half a unit in the last printed digit, and the rounding of one double.
    tolerance = 0.5 * 10.0 ** (1 - digits) * (1 + 1e-9)
    assert parse_quantity(text, unit) == pytest.approx(value, rel=tolerance)
    assert format_quantity(parse_quantity(text, unit), unit, digits) == text


@settings(derandomize=True)
@given(st.floats(min_value=1, max_value=1e18), st.integers(min_value=1, max_value=12))
def test_format_memory_reads_back_to_the_printed_digits(value, digits):
    tolerance = 0.5 * 10.0 ** (1 - digits) * (1 + 1e-9)
    parsed = parse_quantity(format_memory(value, digits), "B")
    assert parsed == pytest.approx(value, rel=tolerance)


@settings(derandomize=True)
@given(
    st.decimals(min_value="0.001", max_value=1000, places=3),
    st.sampled_from([("us", "1e-6", "s"), ("GB", "1e9", "B"), ("%", "0.01", "1")]),
)
def test_parse_equals_the_decimal_product(number, spelling_size_unit):
    spelling, size, unit = spelling_size_unit
    expected = float(number * Decimal(size))
    assert parse_quantity(f"{number} {spelling}", unit) == expected


@settings(derandomize=True)
@given(st.text(), st.sampled_from(UNITS))
def test_any_text_is_a_finite_quantity_or_a_unit_error(text, unit):
    try:
        value = parse_quantity(text, unit)
    except UnitError:
        return
    assert math.isfinite(value)
    assert value >= 0
