"""Hardware as records: devices, links, clusters; every number in SI base units.

The catalogue that fills them is TOML (`topologies/catalogue`), and each of its
numbers has a source. What was fitted on measurements is a `Profile`, apart from the
data sheet, and replaces the generic one for the device it was measured on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from topologies.units import Bytes, BytesPerSecond, FlopPerSecond, Ratio, Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One accelerator, from its data sheet.

    Fields:
        name: catalogue name, such as `a100-sxm4-80gb`.
        peak: dense FLOP/s by number format (`fp32`, `tf32`, `fp16`, `bf16`, `fp8`,
            `fixed16`).
        memory: capacity [B].
        memory_bandwidth: of the device's own memory [B/s].
        num_units: streaming multiprocessors, compute units or cores [1].
        fabric: name of the link that nodes of it usually have between devices.
        profile: name of the profile that prices it.
        source: where the numbers were read.
    """

    name: str
    peak: Mapping[str, FlopPerSecond]
    memory: Bytes
    memory_bandwidth: BytesPerSecond
    num_units: int
    fabric: str
    profile: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link, from its standard or data sheet.

    Fields:
        name: catalogue name, such as `infiniband-hdr`.
        bandwidth: payload rate per direction [B/s].
        latency: time of an empty message, software included [s].
        efficiency: share of `bandwidth` that large messages reach [1].
        source: where the numbers were read.
        moved: by how much a plan's own latency differs from the data sheet's; what was
            fitted to the link moves as much [s].
        copy_rate: what a host's processors copy between memory and such links, per
            direction and over all of them; infinite where adapters do it [B/s].
        cables: to neighbours, which have this bandwidth together [1].
    """

    name: str
    bandwidth: BytesPerSecond
    latency: Seconds
    efficiency: Ratio
    source: str
    moved: Seconds = 0.0
    copy_rate: BytesPerSecond = float("inf")
    cables: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Equal nodes of equal devices on a non-blocking switch.

    Fields:
        device: the accelerator.
        num_nodes: nodes [1].
        devices_per_node: accelerators in a node [1].
        fabric: link of one device inside its node.
        network: link of one network adapter.
        adapters_per_node: network adapters of a node [1].
    """

    device: Device
    num_nodes: int
    devices_per_node: int
    fabric: Link
    network: Link
    adapters_per_node: float

    @property
    def num_devices(self) -> int:
        """Accelerators in the cluster [1]."""
        return self.num_nodes * self.devices_per_node
