"""A profile: how a device and its links really behave, as data with a source.

A profile is a TOML file in `topologies/profiles`, read by `topologies.profile_file`. It
holds a handful of physical constants, says what they were fitted on (or that they are
assumed), and how far predictions made with them were off on rows that the fit did not
see. Engines read it; `calibration` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from topologies.kernels import KernelTable
from topologies.units import Bytes, BytesPerSecond, Count, Ratio, Seconds


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
        core_rate: bytes that cross such links while one core of those hosts is busy
            with them, whoever sends, passes on and receives; see `shared_cores` [B/s].
        core_message: time of a core that a message takes beside its bytes [s].
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
    core_rate: BytesPerSecond = float("inf")
    core_message: Seconds = 0.0
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
