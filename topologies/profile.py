"""A profile: how a device and its links really behave, as data with a source.

A profile is a TOML file in `topologies/profiles`. It holds a handful of physical
constants, says what they were fitted on (or that they are assumed), and how far
predictions made with them were off on rows that the fit did not see. Engines read
it; `calibration` writes it.

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
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from topologies.kernels import KernelTable, parse_kernels
from topologies.units import (
    Bytes,
    BytesPerSecond,
    Count,
    Ratio,
    Seconds,
    parse_quantity,
)

PROFILES = Path(__file__).parent / "profiles"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFit:
    """What a link gives under one protocol, beside its data sheet.

    Fields:
        efficiency: share of the sheet's bandwidth that large messages reach [1].
        start: time of a collective beside its steps [s].
        hop: latency of one step of a collective [s].
        transfer: latency of one point-to-point message, host included [s].
        waits: latencies of the link that a collective waits beside its steps; its
            messages are then one stream, and need not arrive one by one [1].
        window: bytes that may be under way at once [B].
        reach: how many ends of such links share a switch [1].
        across: share of the bandwidth that is left between those switches [1].
        largest: message for which the protocol is used at most [B].
        algorithms: of collectives that it serves; empty for all that need no help
            from the switch.
        protocol: what a report calls it.
    """

    efficiency: Ratio
    start: Seconds
    hop: Seconds
    transfer: Seconds
    waits: Count = 0.0
    window: Bytes = float("inf")
    reach: Count = float("inf")
    across: Ratio = 1.0
    largest: Bytes = float("inf")
    algorithms: tuple[str, ...] = ()
    protocol: str = "simple"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFit:
    """What a node's host does with gradients and parameters of its devices.

    Fields:
        device: rate of copies between one device and the host [B/s].
        root: the same of all devices under one root of the host [B/s].
        per_root: devices under a root, which are taken root by root [1].
        sum: bytes that the host's processors read and write when they add [B/s].
    """

    device: BytesPerSecond
    root: BytesPerSecond
    per_root: Count
    sum: BytesPerSecond


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Constants that price kernels and messages.

    Fields:
        name: file name without suffix.
        matrix_efficiency: share of peak that a large matrix product reaches [1].
        attention_efficiency: the same of a flash attention kernel [1].
        memory_efficiency: share of memory bandwidth that a large copy reaches [1].
        scores_efficiency: the same for kernels over long rows of attention scores [1].
        loss_efficiency: the same for unfused passes over fp32 logits [1].
        kernel_time: device time of an empty kernel [s].
        host_forward, host_backward: host time to issue one kernel [s].
        host_message: host time to issue one collective [s].
        host_pass: host time per forward of a micro-batch beside its kernels [s].
        host_step: host time per step beside micro-batches [s].
        device_overhead: memory that context and libraries hold [B].
        host: of a node, as it serves parameters.
        allocator_share: what the allocator holds beside tensors, over those [1].
        links: fits by link name, and of further protocols by `LINK.PROTOCOL`.
        algorithms: of all-reduce that the platform's library has; empty for all.
        convolutions: algorithms that the platform's library has; empty for all.
        is_blocking: whether the host waits for each kernel before it issues the next
            (CUDA_LAUNCH_BLOCKING=1).
        overlap_slowdown: κ: while a message of its own is under way, a device's
            kernels run at 1 / (1 + κ) of their rate [1].
        sustained_efficiency: share of peak at which matrix products can go on under
            the device's power limit, whatever their shape [1].
        in_step: time of a kernel within a training step over that of the same kernel
            repeated by itself: caches are cold, and the device is warm [1].
        kernels: as they were measured, by number format, if they were.
        error_low, error_high: 5 % and 95 % quantiles of measured ÷ predicted on
            rows outside the fit, minus one; assumed where nothing was measured [1].
        families: kinds of networks that those quantiles were measured on.
        basis: what the constants and the quantiles rest on, in a sentence.
    """

    name: str
    matrix_efficiency: Ratio
    attention_efficiency: Ratio
    memory_efficiency: Ratio
    scores_efficiency: Ratio
    loss_efficiency: Ratio
    kernel_time: Seconds
    host_forward: Seconds
    host_backward: Seconds
    host_message: Seconds
    host_pass: Seconds
    host_step: Seconds
    device_overhead: Bytes
    host: HostFit
    links: Mapping[str, LinkFit]
    error_low: float
    error_high: float
    families: tuple[str, ...]
    basis: str
    algorithms: tuple[str, ...] = ()
    convolutions: tuple[str, ...] = ()
    is_blocking: bool = False
    overlap_slowdown: Ratio = 0.0
    kernels: Mapping[str, KernelTable] = field(default_factory=dict)
    allocator_share: Ratio = 0.0
    sustained_efficiency: Ratio = 1.0
    in_step: Ratio = 1.0


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
