"""A profile: how a device and its links really behave, as data with a source.

A profile is a TOML file in `topologies/profiles`. It holds a handful of physical
constants, says what they were fitted on (or that they are assumed), and how far
predictions made with them were off on rows that the fit did not see. Engines read
it; `calibration` writes it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from topologies.units import Bytes, Ratio, Seconds

PROFILES = Path(__file__).parent / "profiles"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFit:
    """What a link gives, beside its data sheet.

    Fields:
        efficiency: share of the sheet's bandwidth that large messages reach [1].
        start: time of a collective beside its steps [s].
        hop: latency of one step of a collective [s].
        transfer: latency of one point-to-point message, host included [s].
    """

    efficiency: Ratio
    start: Seconds
    hop: Seconds
    transfer: Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Constants that price kernels and messages.

    Fields:
        name: file name without suffix.
        matrix_efficiency: share of peak that a large matrix product reaches [1].
        memory_efficiency: share of memory bandwidth that a large copy reaches [1].
        cache: bytes of a kernel's traffic that stay in the cache [B].
        kernel_time: device time of an empty kernel [s].
        host_forward, host_backward: host time to issue one kernel [s].
        host_message: host time to issue one collective [s].
        host_microbatch: host time per micro-batch and stage beside kernels [s].
        host_step: host time per step beside micro-batches [s].
        links: fits by link name.
        device_overhead: memory that context and libraries hold [B].
        error_low, error_high: 5 % and 95 % quantiles of measured ÷ predicted on
            rows outside the fit, minus one [1].
        basis: what the constants and the quantiles rest on, in a sentence.
    """

    name: str
    matrix_efficiency: Ratio
    memory_efficiency: Ratio
    cache: Bytes
    kernel_time: Seconds
    host_forward: Seconds
    host_backward: Seconds
    host_message: Seconds
    host_microbatch: Seconds
    host_step: Seconds
    links: Mapping[str, LinkFit]
    device_overhead: Bytes
    error_low: float
    error_high: float
    basis: str
