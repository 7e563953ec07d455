"""Text with a unit into SI floats and back: the only place where prefixes exist.

Inside, every number is in base units: s, B, B/s, FLOP, FLOP/s, or none (`1`). At the
edge there is one parser and two writers: `format_quantity` for people and
`exact_quantity` for files. The table of units is closed; what could mean two things,
such as `Gb`, is refused with the two spellings it could stand for.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator
from decimal import Context, Decimal
from typing import Annotated, NamedTuple

Seconds = Annotated[float, "s"]
Bytes = Annotated[float, "B"]
BytesPerSecond = Annotated[float, "B/s"]
SecondsPerByte = Annotated[float, "s/B"]
Flop = Annotated[float, "FLOP"]
FlopPerSecond = Annotated[float, "FLOP/s"]
PerSecond = Annotated[float, "1/s"]
Ratio = Annotated[float, "1"]
Count = Annotated[float, "1"]


class UnitError(ValueError):
    """A text that is not the quantity asked for; the message says what to write."""


class _Dimension(NamedTuple):
    """How messages speak of a dimension, and which units display it."""

    name: str
    example: str
    remedies: tuple[str, str]  # units that would have worked behind a bare number
    display: tuple[str, ...]  # ascending
    allows_zero: bool


_DIMENSIONS = {
    "s": _Dimension(
        name="a time",
        example="'1.5 us'",
        remedies=("us", "ms"),
        display=("ns", "us", "ms", "s", "min", "h", "d"),
        allows_zero=True,
    ),
    "B": _Dimension(
        name="an amount of data",
        example="'80 GB'",
        remedies=("GB", "GiB"),
        display=("B", "kB", "MB", "GB", "TB", "PB", "EB"),
        allows_zero=True,
    ),
    "B/s": _Dimension(
        name="a data rate",
        example="'400 Gbit/s'",
        remedies=("Gbit/s", "GB/s"),
        display=("B/s", "kB/s", "MB/s", "GB/s", "TB/s", "PB/s", "EB/s"),
        allows_zero=False,
    ),
    "FLOP": _Dimension(
        name="an amount of arithmetic",
        example="'2 TFLOP'",
        remedies=("GFLOP", "TFLOP"),
        display=("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP", "ZFLOP"),
        allows_zero=True,
    ),
    "FLOP/s": _Dimension(
        name="a rate of arithmetic",
        example="'312 TFLOP/s'",
        remedies=("GFLOP/s", "TFLOP/s"),
        display=(
            *("FLOP/s", "kFLOP/s", "MFLOP/s", "GFLOP/s"),
            *("TFLOP/s", "PFLOP/s", "EFLOP/s", "ZFLOP/s"),
        ),
        allows_zero=False,
    ),
    "1": _Dimension(
        name="a plain number",
        example="'0.5' or '50 %'",
        remedies=("", "%"),
        display=("",),
        allows_zero=True,
    ),
}

_SI = {prefix: Decimal(1000) ** n for n, prefix in enumerate(("", *"kMGTPEZ"))}
_IEC = {f"{prefix}i": Decimal(1024) ** n for n, prefix in enumerate("KMGTPE", start=1)}
_TIMES = {
    "ns": "1e-9",
    "us": "1e-6",
    "\u00b5s": "1e-6",  # micro sign
    "\u03bcs": "1e-6",  # Greek mu, which looks the same
    "ms": "1e-3",
    "s": "1",
    "min": "60",
    "h": "3600",
    "d": "86400",
}
_BITS_PER_BYTE = 8


def _units() -> Iterator[tuple[str, str, Decimal]]:
    """Every spelling, its dimension, and its size in base units."""
    bit = Decimal(1) / _BITS_PER_BYTE
    yield "", "1", Decimal(1)
    yield "%", "1", Decimal("0.01")
    for spelling, seconds in _TIMES.items():
        yield spelling, "s", Decimal(seconds)
    for prefix, size in (_SI | _IEC).items():
        for name, factor in (("B", Decimal(1)), ("bit", bit)):
            yield f"{prefix}{name}", "B", size * factor
            yield f"{prefix}{name}/s", "B/s", size * factor
    for prefix, size in _SI.items():
        yield f"{prefix}bps", "B/s", size * bit
        yield f"{prefix}FLOP", "FLOP", size
        yield f"{prefix}FLOP/s", "FLOP/s", size
        yield f"{prefix}FLOPS", "FLOP/s", size


_UNITS = {spelling: (dimension, size) for spelling, dimension, size in _units()}


def _ambiguous() -> Iterator[tuple[str, str, tuple[str, str]]]:
    """Spellings that mean two things, the doubt, and what to write instead."""
    yield "m", "minutes or milliseconds", ("min", "ms")
    for rate in ("", "/s"):
        yield f"KB{rate}", "1000 or 1024 bytes", (f"kB{rate}", f"KiB{rate}")
        for prefix in (*_SI, *_IEC):
            advice = (f"{prefix}bit{rate}", f"{prefix}B{rate}")
            for written in {prefix, prefix.lower(), prefix[:1].upper() + prefix[1:]}:
                yield f"{written}b{rate}", "bits or bytes", advice
    for prefix in _SI:
        yield (
            f"{prefix}FLOPs",
            "a count or a rate",
            (f"{prefix}FLOP", f"{prefix}FLOP/s"),
        )


_AMBIGUOUS = {spelling: (doubt, advice) for spelling, doubt, advice in _ambiguous()}

_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_QUANTITY = re.compile(rf"({_NUMBER})\s*(.*)")
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)\b.*", re.IGNORECASE)
_CONTEXT = Context(prec=60, traps=[])


def parse_quantity(text: str, unit: str) -> float:
    """The quantity that `text` states, in base units.

    The product is taken in decimal, so that '5 us' is 5e-6 and not its neighbour.

    Args:
        text: a number and a unit, such as '1.5 us'; for `1` also a number alone.
        unit: the SI unit wanted: s, B, B/s, FLOP, FLOP/s or 1.

    Raises:
        UnitError: `text` is no such quantity, is negative, or is a rate of zero.

    >>> parse_quantity("400 Gbit/s", "B/s")
    50000000000.0
    """
    text = text.strip()
    if _NOT_FINITE.fullmatch(text):
        raise UnitError(f"{text!r} is not finite, {_takes(unit)}")
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise UnitError(f"{text!r} does not begin with a number, {_takes(unit)}")
    number, spelling = match.groups()
    size = _size(text, number, spelling, unit)
    value = float(_CONTEXT.multiply(_CONTEXT.create_decimal(number), size))
    if not math.isfinite(value):
        raise UnitError(f"{text!r} is not finite in double precision, {_takes(unit)}")
    if number.startswith("-"):
        raise UnitError(f"{text!r} is negative, {_takes(unit)}")
    if value == 0 and not _DIMENSIONS[unit].allows_zero:
        raise UnitError(f"{text!r} is zero, {_takes(unit)}")
    return value


def _size(text: str, number: str, spelling: str, unit: str) -> Decimal:
    """Size of the unit `spelling`, which has to be of the dimension of `unit`."""
    if spelling in _AMBIGUOUS:
        doubt, (first, second) = _AMBIGUOUS[spelling]
        raise UnitError(
            f"{text!r} is ambiguous, {spelling!r} may mean {doubt}: "
            f"write '{number} {first}' or '{number} {second}'"
        )
    if spelling not in _UNITS:
        raise UnitError(
            f"{text!r} has the unknown unit {spelling!r}"
            f"{_did_you_mean(spelling, unit)}, {_takes(unit)}"
        )
    found, size = _UNITS[spelling]
    if found == unit:
        return size
    if not spelling:
        first, second = _DIMENSIONS[unit].remedies
        raise UnitError(
            f"{text!r} has no unit, this takes {_DIMENSIONS[unit].name}, "
            f"such as '{number} {first}' or '{number} {second}'"
        )
    raise UnitError(f"{text!r} is {_DIMENSIONS[found].name}, {_takes(unit)}")


def _takes(unit: str) -> str:
    """The end of every message: what belongs here, and how it is written."""
    dimension = _DIMENSIONS[unit]
    return f"this takes {dimension.name}, such as {dimension.example}"


def _did_you_mean(spelling: str, unit: str) -> str:
    """A guess at the unit meant, of the wanted dimension; empty if none is near."""
    wanted = [known for known, (dimension, _) in _UNITS.items() if dimension == unit]
    folded = [known for known in wanted if known.lower() == spelling.lower()]
    near = folded or difflib.get_close_matches(spelling, wanted, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def format_quantity(value: float, unit: str, digits: int = 3) -> str:
    """`value` for people: the smallest prefix that keeps the number below 1000.

    Times beyond 1000 s go on in minutes, hours and days by the same rule.

    >>> format_quantity(5e10, "B/s")
    '50.0 GB/s'
    """
    return _format(value, _DIMENSIONS[unit].display, digits)


def format_memory(value: Bytes, digits: int = 3) -> str:
    """A memory size for people, with binary prefixes up to GiB.

    >>> format_memory(80e9)
    '74.5 GiB'
    """
    return _format(value, ("B", "KiB", "MiB", "GiB"), digits)


def exact_quantity(value: float, unit: str) -> str:
    """`value` for files: `parse_quantity` reads back the very same float.

    >>> exact_quantity(5e10, "B/s")
    '50000000000.0 B/s'
    """
    return f"{float(value)!r} {unit}" if unit != "1" else repr(float(value))


def number_in(value: float, spelling: str) -> float:
    """The number that stands before `spelling` to say `value`: for axes and traces.

    >>> number_in(0.0025, "us")
    2500.0
    """
    _, size = _UNITS[spelling]
    return value * float(1 / size) if size < 1 else value / float(size)


def _format(value: float, spellings: tuple[str, ...], digits: int) -> str:
    """`value` with `digits` significant digits in the first unit that suits."""
    if value == 0 or not math.isfinite(value):
        base = next(known for known in spellings if _UNITS[known][1] == 1)
        return f"{value:g} {base}".rstrip()
    rounding = Context(prec=digits)
    number, spelling = Decimal(0), ""
    for spelling in spellings:  # stops at the last one, however large the number
        number = rounding.divide(Decimal(value), _UNITS[spelling][1])
        if number.adjusted() < 3:
            break
    places = digits - 1 - number.adjusted()
    is_plain = -4 < number.adjusted() < 9
    written = f"{number:.{max(places, 0)}f}" if is_plain else f"{number:.{digits - 1}e}"
    return f"{written} {spelling}".rstrip()
