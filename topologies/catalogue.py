"""The catalogue: devices and links by name, each in a TOML file that says its source.

One file holds one entry, so that a plan parses only what it names. Every number has a
source: the file's `[source]`, or where a field's differs `[source_of.field]`. A source
says how the number was read (`table`, `text`, `derived`, `assumed`, `memory`); what
was recalled and not looked up carries a confidence.

Limits: a sheet's GB are taken as 1e9 B, while boards hold nearer to as many GiB, less
what error correction and the driver take. Peaks of boards before 2017 are at the boost
clock, except where boost has to be set by hand (K40). Absent `num_units` become 0.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from topologies.hardware import Device, Link
from topologies.profile_file import is_file_name, tables_of
from topologies.units import BytesPerSecond, format_quantity, parse_quantity

_ROOT = Path(__file__).with_name("catalogue")


class UnknownName(ValueError):  # noqa: N818 - reads as the message it carries
    """A name that the catalogue does not have; the message offers the nearest."""


def device(name: str) -> Device:
    """The accelerator called `name`, or that has it among its aliases.

    A name that ends in `.toml` is the path of a file that `simulate calibrate` wrote:
    the device is the one in it, and the file its profile.

    Raises:
        UnknownName: there is none.
    """
    if is_file_name(name):
        return _measured_device(name)
    return _named_device(name)


@cache
def _named_device(name: str) -> Device:
    entry = _load("devices", name)
    return _parse_device(entry, entry["profile"])


def _measured_device(name: str) -> Device:
    """The device in the table `[device]` of a file, which is its profile as well."""
    path = Path(name)
    try:
        return _parse_device(tables_of(path.read_text("utf-8"))["device"], name)
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except KeyError as error:
        problem = f"holds no device: {error} is missing"
    except (TypeError, ValueError) as error:
        problem = f"holds no device: {error}"
    raise UnknownName(f"{path.name} {problem}")


def _parse_device(entry: dict[str, Any], profile: str) -> Device:
    return Device(
        name=entry["name"],
        peak={
            number_format: parse_quantity(rate, "FLOP/s")
            for number_format, rate in entry["peak"].items()
        },
        memory=parse_quantity(entry["memory"], "B"),
        memory_bandwidth=parse_quantity(entry["memory_bandwidth"], "B/s"),
        num_units=entry.get("num_units", 0),
        fabric=entry["fabric"],
        profile=profile,
        source=_cite(entry),
    )


@cache
def link(name: str) -> Link:
    """The link called `name`, or that has it among its aliases.

    Raises:
        UnknownName: there is none.
    """
    entry = _load("links", name)
    return Link(
        name=entry["name"],
        bandwidth=parse_quantity(entry["bandwidth"], "B/s"),
        latency=parse_quantity(entry["latency"], "s"),
        efficiency=entry["efficiency"],
        source=_cite(entry),
        copy_rate=_copy_rate(entry),
        cables=entry.get("cables", 1),
    )


def _copy_rate(entry: dict[str, Any]) -> BytesPerSecond:
    """Return what a host copies for such links; infinite where it copies nothing."""
    text = entry.get("copy_rate")
    return parse_quantity(text, "B/s") if text else float("inf")


def device_names() -> tuple[str, ...]:
    """Names of all devices, without aliases, sorted."""
    return _names("devices")


def link_names() -> tuple[str, ...]:
    """Names of all links, without aliases, sorted."""
    return _names("links")


def describe_devices() -> list[dict[str, str]]:
    """A row for each device, headings as keys, for `simulate list devices`."""
    return [_describe_device(_read("devices", name)) for name in device_names()]


def describe_links() -> list[dict[str, str]]:
    """A row for each link, headings as keys, for `simulate list links`."""
    return [_describe_link(_read("links", name)) for name in link_names()]


def _describe_device(entry: dict[str, Any]) -> dict[str, str]:
    record = device(entry["name"])
    peaks = (
        f"{number_format} {format_quantity(rate, 'FLOP/s')}"
        for number_format, rate in record.peak.items()
    )
    return {
        "name": record.name,
        "device": entry["title"],
        "memory": format_quantity(record.memory, "B"),
        "memory bandwidth": format_quantity(record.memory_bandwidth, "B/s"),
        "peak": ", ".join(peaks),
        "fabric": record.fabric,
        "host": entry["host"],
        "profile": record.profile,
        "also": ", ".join(entry["aliases"]),
        "source": record.source,
    }


def _describe_link(entry: dict[str, Any]) -> dict[str, str]:
    record = link(entry["name"])
    return {
        "name": record.name,
        "link": entry["title"],
        "bandwidth": format_quantity(record.bandwidth, "B/s"),
        "latency": format_quantity(record.latency, "s"),
        "efficiency": format_quantity(record.efficiency, "1"),
        "also": ", ".join(entry["aliases"]),
        "source": record.source,
    }


@cache
def _names(kind: str) -> tuple[str, ...]:
    stems = (path.stem for path in (_ROOT / kind).glob("*.toml"))
    return tuple(sorted(stems, key=_natural_order))


def _natural_order(name: str) -> list[tuple[str, int]]:
    """Sorts `ethernet-25` before `ethernet-100`."""
    return [
        (word, int(number or 0)) for word, number in re.findall(r"(\D*)(\d*)", name)
    ]


@cache
def _aliases(kind: str) -> dict[str, str]:
    """Each alias and the name it stands for; parses every file."""
    return {
        alias: name for name in _names(kind) for alias in _read(kind, name)["aliases"]
    }


@cache
def _read(kind: str, name: str) -> dict[str, Any]:
    return tomllib.loads((_ROOT / kind / f"{name}.toml").read_text(encoding="utf-8"))


def _load(kind: str, name: str) -> dict[str, Any]:
    """The file of `name`; aliases are looked at only where no file has that name."""
    if name in _names(kind):
        return _read(kind, name)
    aliases = _aliases(kind)
    if name in aliases:
        return _read(kind, aliases[name])
    known = [*_names(kind), *aliases]
    near = difflib.get_close_matches(name.lower(), known, n=3)
    guess = f"; did you mean {' or '.join(map(repr, near))}?" if near else ";"
    raise UnknownName(
        f"unknown {kind.removesuffix('s')} {name!r}{guess} "
        f"'simulate list {kind}' lists them all"
    )


def _cite(entry: dict[str, Any]) -> str:
    """The sources of an entry in one line: the main one, then fields that differ."""
    others = (
        f"{field}: {_cite_one(source)}"
        for field, source in entry.get("source_of", {}).items()
    )
    return "; ".join((_cite_one(entry["source"]), *others))


def _cite_one(source: dict[str, Any]) -> str:
    doubt = f" (confidence {source['confidence']})" if "confidence" in source else ""
    return f"{source['name']}, {source['locator']}{doubt}"
