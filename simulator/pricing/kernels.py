"""What does a kernel take on a device, by the formula of its kind?

Where a plan's device has measured kernels, those go before (`measured.py`).
"""

from __future__ import annotations

from typing import NamedTuple

from models.work import Work
from simulator.convolutions.choice import fastest_time as fastest_convolution_time
from simulator.convolutions.ways import Rates
from simulator.costs.compute import (
    grouped_time,
    matrix_time,
    memory_time,
    roofline_time,
)
from simulator.costs.elementwise import where
from topologies.hardware import Device
from topologies.profile import Profile
from topologies.units import BytesPerSecond, Count, FlopPerSecond, Ratio, Seconds

_PRODUCTS = frozenset({"matrix", "grouped", "attention"})
_ALIGNED = 8  # numbers of two bytes in 16 B, which tensor cores load at once


class Achieved(NamedTuple):
    """A device under a profile, in a plan's number format.

    Fields:
        device: its data sheet.
        profile: what of the sheet is achieved.
        peak: dense rate of the number format [FLOP/s].
        narrow_peak: that of products whose factors are cast to a narrower one
            [FLOP/s].
    """

    device: Device
    profile: Profile
    peak: FlopPerSecond
    narrow_peak: FlopPerSecond

    @property
    def bandwidth(self) -> BytesPerSecond:
        """What large kernels between products reach of the memory's [B/s]."""
        return self.profile.memory_efficiency * self.device.memory_bandwidth

    @property
    def num_units(self) -> Count:
        """Streaming multiprocessors, or 1 for a device without [1]."""
        return max(self.device.num_units, 1)

    @property
    def vector_rate(self) -> FlopPerSecond:
        """What large products reach without tensor cores [FLOP/s]."""
        return self.profile.matrix_efficiency * self.device.peak.get("fp32", self.peak)

    @property
    def convolution_rates(self) -> Rates:
        """What the device achieves on the products and copies of a convolution."""
        return Rates(
            num_units=self.num_units,
            product=self.profile.matrix_efficiency * self.peak,
            vector=self.vector_rate,
            bandwidth=self.bandwidth,
            kernel_time=self.profile.kernel_time,
            has_vector="fp32" in self.device.peak,
        )


def formula_time(work: Work, own: Achieved) -> Seconds:
    """Return the device time of a kernel, or of the several that `work` names.

    Args:
        work: what it does.
        own: the device and what is achieved of it.
    """
    profile = own.profile
    if work.filtering and work.kind in _PRODUCTS:
        offered = profile.convolutions
        return fastest_convolution_time(work, own.convolution_rates, offered)
    starting = work.launches * profile.kernel_time
    if work.kind in _PRODUCTS:
        return starting + _product_time(work, own)
    if work.kind == "local":
        rate = profile.matrix_efficiency * own.peak
        return starting + roofline_time(
            work.flop, work.size, rate=rate, bandwidth=own.bandwidth
        )
    efficiency: Ratio = {
        "memory": profile.memory_efficiency,
        "scores": profile.scores_efficiency,
        "loss": profile.loss_efficiency,
    }[work.kind]
    return starting + memory_time(work.size, efficiency * own.device.memory_bandwidth)


def _product_time(work: Work, own: Achieved) -> Seconds:
    """Return the time of a product, of many small ones, or of flash attention."""
    profile = own.profile
    peak = own.narrow_peak if work.is_narrow else own.peak
    if work.kind == "attention":
        rate, sustained = peak * profile.attention_efficiency, 1.0
    else:
        rate, sustained = peak * profile.matrix_efficiency, profile.sustained_efficiency
    if work.kind == "matrix":
        rate = where(_is_misaligned(work), own.vector_rate, rate)
    formula = grouped_time if work.kind == "grouped" else matrix_time
    return formula(
        work.rows,
        work.columns,
        work.inner,
        work.batch,
        size=work.size,
        num_units=own.num_units,
        rate=rate,
        bandwidth=own.bandwidth,
        sustained_rate=peak * sustained,
    )


def _is_misaligned(work: Work) -> Count:
    """Return whether a batched product is one that tensor cores are not used for.

    The rows of each matrix begin at multiples of 16 B if they are of multiples of eight
    numbers of two bytes, which heads of 108 are not.

    Source: NVIDIA/cutlass, issue 75 (kernels for tensor cores load 128 aligned bits).
        That batched products then run as if on vector units of fp32 is inferred from
        BigScience's trials of heads (chronicles-prequel.md); single products, which
        libraries pad or split, are left alone.
    """
    of_eight = (work.columns % _ALIGNED == 0) * (work.inner % _ALIGNED == 0)
    return (work.batch > 1) * (1 - of_eight)
