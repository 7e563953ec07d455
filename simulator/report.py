"""The report a person reads: the answer first, then where it goes and how sure it is."""

from __future__ import annotations

from dataclasses import asdict

from simulator.explain import contributions
from simulator.result import Result
from topologies.units import format_memory, format_quantity

_BAR = 24
_PART_NAMES = {
    "compute_s": "compute",
    "exposed_communication_s": "exposed communication",
    "bubble_s": "pipeline bubble",
    "synchronization_s": "waiting for other ranks",
    "host_s": "waiting for the host",
    "other_s": "other",
}
_MEMORY_NAMES = {
    "weights": "weights",
    "gradients": "gradients",
    "optimizer": "optimizer state",
    "activations": "activations",
    "buffers": "communication buffers",
    "overhead": "context and libraries",
}


def text_report(result: Result, *, num_contributions: int = 5) -> str:
    """Return the whole report as text."""
    blocks = [
        _heading(result),
        _answer(result),
        _breakdown(result),
        _memory(result),
        _contributions(result, num_contributions),
        _trust(result),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _heading(result: Result) -> str:
    plan, mesh, cluster = (
        result.job.plan,
        result.job.plan.parallelism,
        result.job.cluster,
    )
    devices = "device" if result.world_size == 1 else "devices"
    title = plan.title or result.job.model.name
    schedule = f", {mesh.schedule}" if mesh.pipeline > 1 else ""
    chunks = f" x {mesh.virtual_stages} chunks" if mesh.virtual_stages > 1 else ""
    sequence = " (with sequence)" if mesh.sequence else ""
    return "\n".join(
        [
            title,
            f"  {result.job.model.name} on {result.world_size} {devices}: "
            f"{cluster.num_nodes} x {cluster.devices_per_node} {cluster.device.name}",
            f"  tensor {mesh.tensor}{sequence} x pipeline {mesh.pipeline}{chunks} x "
            f"data {mesh.data}{schedule}, {plan.num_microbatches} micro-batches of "
            f"{plan.batch.micro}, recompute {mesh.recompute}, {plan.training.precision}",
        ]
    )


def _answer(result: Result) -> str:
    low, high = (format_quantity(bound, "s") for bound in result.interval_s)
    lines = [
        f"  step time    {format_quantity(result.step_time_s, 's')}"
        f"   ({low} … {high} in nine of ten cases)",
        f"  throughput   {result.samples_per_s:,.4g} samples/s"
        + (
            f", {result.tokens_per_s:,.0f} tokens/s"
            if result.job.model.tokens_per_sample > 1
            else ""
        ),
        f"  MFU          {result.mfu:.1%}{_convention(result)}",
    ]
    if result.status == "out_of_memory":
        capacity = result.job.cluster.device.memory
        need, have = format_memory(result.memory_peak_bytes), format_memory(capacity)
        lines.append(f"  DOES NOT FIT: needs {need}, the device has {have}")
    return "\n".join(lines)


def _convention(result: Result) -> str:
    attention = result.job.model.attention
    return "" if attention == "none" else f" ({attention} attention, counted in full)"


def _breakdown(result: Result) -> str:
    lines = ["  where the step goes (mean over devices)"]
    for key, seconds in asdict(result.breakdown).items():
        share = seconds / result.step_time_s
        if share < 5e-5:
            continue
        bar = "█" * round(_BAR * share)
        time = format_quantity(seconds, "s")
        lines.append(f"    {_PART_NAMES[key]:<25}{time:>9}{share:>8.1%}  {bar}")
    return "\n".join(lines)


def _memory(result: Result) -> str:
    capacity = result.job.cluster.device.memory
    where = ""
    if result.job.plan.parallelism.pipeline > 1:
        where = f" (pipeline rank {result.memory_rank})"
    lines = [
        f"  memory of the fullest device{where}: "
        f"{format_memory(result.memory_peak_bytes)} of {format_memory(capacity)}"
    ]
    for key, size in asdict(result.memory).items():
        if size:
            share = size / capacity
            bar = "█" * round(_BAR * share)
            name = _MEMORY_NAMES[key]
            lines.append(f"    {name:<25}{format_memory(size):>9}{share:>8.1%}  {bar}")
    return "\n".join(lines)


def _contributions(result: Result, num_shown: int) -> str:
    lines = [
        "  largest contributions to the critical path"
        " (F forward, I and W gradients of inputs and weights)"
    ]
    notes: list[str] = []
    for part in contributions(result)[:num_shown]:
        note = f"{part.formula}  [{part.source}]"
        if note not in notes:
            notes.append(note)
        time = format_quantity(part.time, "s")
        mark = f"[{notes.index(note) + 1}]"
        lines.append(f"    {part.name:<25}{time:>9}{part.share:>8.1%}  {mark}")
    lines += [f"    [{number}] {note}" for number, note in enumerate(notes, 1)]
    return "\n".join(lines)


def _trust(result: Result) -> str:
    profile = result.job.profile
    return (
        f"  how far to trust it: profile '{profile.name}', {profile.basis}\n"
        f"  engine {result.engine}, plan {str(result.provenance['plan_sha256'])[:12]}"
    )
