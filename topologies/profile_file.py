"""Profiles as files: what a TOML table of constants says, and where profiles are.

A library has several protocols on one link, each with its own latency and share of
the bandwidth, and takes the fastest for a message. The table `[links.LINK]` is the
first of them, and `[links.LINK.PROTOCOL]` another, which is kept as the fit of a link
called `LINK.PROTOCOL`. A profile that only adds links or a few constants to another
says `base = "OTHER"` and has the rest from it.

A plan may also name a profile that `simulate calibrate` wrote, by its path. Such a file
holds measured kernels (`topologies.kernels`) and the device that they were measured on.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from topologies.kernels import parse_kernels
from topologies.profile import HostFit, LinkFit, Profile
from topologies.units import parse_quantity

PROFILES = Path(__file__).parent / "profiles"

UNITS: dict[str, str] = {
    "matrix_efficiency": "1",
    "attention_efficiency": "1",
    "memory_efficiency": "1",
    "scores_efficiency": "1",
    "loss_efficiency": "1",
    "kernel_time": "s",
    "host_forward": "s",
    "host_backward": "s",
    "host_message": "s",
    "host_pass": "s",
    "host_step": "s",
    "device_overhead": "B",
    "overlap_slowdown": "1",
    "allocator_share": "1",
    "sustained_efficiency": "1",
    "in_step": "1",
}
"""Unit of every constant in a profile file."""

OPTIONAL: dict[str, float] = {
    "overlap_slowdown": 0.0,
    "allocator_share": 0.0,
    "sustained_efficiency": 1.0,
    "in_step": 1.0,
}
"""Constants that a profile may leave out, and what they are then."""

LINK_UNITS: dict[str, str] = {
    "efficiency": "1",
    "start": "s",
    "hop": "s",
    "transfer": "s",
}
"""Unit of every constant of a link in a profile file."""

LINK_OPTIONS: dict[str, str] = {
    "waits": "1",
    "window": "B",
    "reach": "1",
    "across": "1",
    "largest": "B",
    "core_rate": "B/s",
    "core_message": "s",
}
"""Unit of every constant that only some links have."""


class UnknownProfileError(ValueError):
    """No profile of that name."""


def load_profile(name: str) -> Profile:
    """Return a profile of `topologies/profiles` by name, or another by its path.

    Raises:
        UnknownProfileError: there is none, or its file is no profile.
    """
    if not is_file_name(name):
        return named_profile(name)
    path = Path(name)
    try:
        return _of_text(path.stem, path.read_text("utf-8"))
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except KeyError as error:
        problem = f"is no profile: {error} is missing"
    except (TypeError, ValueError) as error:
        problem = f"is no profile: {error}"
    raise UnknownProfileError(f"{path.name} {problem}")


@lru_cache(maxsize=8)
def _of_text(stem: str, text: str) -> Profile:
    return parse_profile(stem, tables_of(text))


@lru_cache(maxsize=8)
def tables_of(text: str) -> Mapping[str, Any]:
    """Return the tables of a profile's text; a plan looks at the same file often."""
    return tomllib.loads(text)


def is_file_name(name: str) -> bool:
    """Return whether the name of a profile, or of a device, is that of a file."""
    return name.endswith(".toml")


@cache
def named_profile(name: str) -> Profile:
    """Return a profile of `topologies/profiles`; every call the same one."""
    path = PROFILES / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(profile_names())
        raise UnknownProfileError(f"unknown profile '{name}'; there are {known}")
    return parse_profile(name, tomllib.loads(path.read_text("utf-8")))


def profile_names() -> tuple[str, ...]:
    """Return the names of all profiles."""
    return tuple(sorted(path.stem for path in PROFILES.glob("*.toml")))


def parse_profile(name: str, table: Mapping[str, Any]) -> Profile:
    """Return the profile in a TOML table."""
    links = dict(_link_fits(table.get("links", {})))
    algorithms = tuple(table.get("algorithms", ()))
    convolutions = tuple(table.get("convolutions", ()))
    kernels = parse_kernels(table.get("kernels", {}))
    if base := table.get("base"):
        other = load_profile(str(base))
        return replace(
            other,
            name=name,
            host=_host_fit(table["host"]) if "host" in table else other.host,
            links={**other.links, **links},
            algorithms=algorithms or other.algorithms,
            convolutions=convolutions or other.convolutions,
            kernels={**other.kernels, **kernels},
            is_blocking=table.get("blocking", other.is_blocking),
            **_constants(table.get("constants", {})),  # type: ignore[arg-type]
            basis=f"{other.basis}; {name}: {table['basis']}",
        )
    constants = OPTIONAL | _constants(table["constants"])
    error = table["error"]
    return Profile(
        name=name,
        host=_host_fit(table["host"]) if "host" in table else general_host(),
        links=links,
        error_low=float(error["low"]),
        error_high=float(error["high"]),
        families=tuple(error["families"]),
        basis=str(table["basis"]),
        algorithms=algorithms,
        convolutions=convolutions,
        kernels=kernels,
        is_blocking=table.get("blocking", False),
        **constants,
    )


def _constants(table: Mapping[str, Any]) -> dict[str, float]:
    """Return the constants in a table, in base units."""
    return {key: parse_quantity(str(text), UNITS[key]) for key, text in table.items()}


def general_host() -> HostFit:
    """Return what hosts do where no profile says it."""
    return load_profile("generic").host


def _host_fit(values: Mapping[str, Any]) -> HostFit:
    device, root, summed = (
        parse_quantity(str(values[key]), "B/s") for key in ("device", "root", "sum")
    )
    per_root = float(values["per_root"])
    return HostFit(device=device, root=root, per_root=per_root, sum=summed)


def _link_fits(table: Mapping[str, Any]) -> Iterator[tuple[str, LinkFit]]:
    """Yield the fits of links and, by `LINK.PROTOCOL`, of their further protocols."""
    for link, values in table.items():
        yield link, _link_fit(values, str(values.get("protocol", "simple")))
        for protocol, own in values.items():
            if isinstance(own, Mapping):
                yield f"{link}.{protocol}", _link_fit(own, protocol)


def _link_fit(values: Mapping[str, Any], protocol: str) -> LinkFit:
    options = {key: unit for key, unit in LINK_OPTIONS.items() if key in values}
    constants = {
        key: parse_quantity(str(values[key]), unit)
        for key, unit in {**LINK_UNITS, **options}.items()
    }
    algorithms = tuple(values.get("algorithms", ()))
    return LinkFit(protocol=protocol, algorithms=algorithms, **constants)
