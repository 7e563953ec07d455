"""The report a person reads: the answer, where it goes, and how sure it is."""

from __future__ import annotations

from dataclasses import asdict

from simulator.memory.remedy import remedy
from simulator.plans.layer_choices import described
from simulator.plans.records import ParallelismSection, TrainingSection
from simulator.reporting.columns import rate
from simulator.reporting.explain import contributions, footnotes
from simulator.reporting.messages import messages_text
from simulator.results.result import Result
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
    "working": "gradients and copies",
    "workspace": "convolution workspace",
    "buffers": "communication buffers",
    "allocator": "allocator, unused",
    "overhead": "context and libraries",
}


def text_report(result: Result, *, num_contributions: int = 5) -> str:
    """Return the whole report as text."""
    blocks = [
        _heading(result),
        _answer(result),
        _breakdown(result),
        _memory(result),
        messages_text(result),
        _network(result),
        _contributions(result, num_contributions),
        _trust(result),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _sharing(mesh: ParallelismSection) -> str:
    """Return what the replicas divide among each other, in words."""
    shared = []
    if mesh.expert > 1:
        whole = "whole " if mesh.has_whole_experts else ""
        shared.append(f"{whole}experts over {mesh.expert}")
    if mesh.zero:
        shared.append(f"ZeRO-{mesh.zero} over {mesh.shard}")
    return f" ({', '.join(shared)})" if shared else ""


def _heading(result: Result) -> str:
    plan, cluster = result.job.plan, result.job.cluster
    mesh = plan.parallelism
    devices = "device" if result.world_size == 1 else "devices"
    microbatches = "micro-batch" + ("" if plan.num_microbatches == 1 else "es")
    nodes = f"{cluster.num_nodes} x {cluster.devices_per_node} {cluster.device.name}"
    axes = [
        f"tensor {mesh.tensor}" + (" (with sequence)" if mesh.sequence else ""),
        f"pipeline {mesh.pipeline}",
        *([f"context {mesh.context}"] if mesh.context > 1 else []),
        f"data {mesh.data}" + _sharing(mesh),
    ]
    if mesh.virtual_stages > 1:
        axes[1] += f" of {mesh.virtual_stages} chunks"
    details = [
        " x ".join(axes),
        *([mesh.schedule] if mesh.pipeline > 1 else []),
        f"{plan.num_microbatches} {microbatches} of {plan.batch.micro}",
        f"recompute {mesh.recompute}",
        _format(plan.training),
    ]
    return "\n".join(
        [
            plan.title or result.job.model.name,
            f"  {result.job.model.name} on {result.world_size} {devices}: {nodes}",
            "  " + ", ".join(details),
            *(f"  {described(rule)}" for rule in mesh.layers),
        ]
    )


def _format(training: TrainingSection) -> str:
    """Return the number format of a plan, such as `bf16` or `fixed16.14`."""
    fraction = training.fraction
    return training.precision + ("" if fraction is None else f".{fraction}")


def _answer(result: Result) -> str:
    low, high = (format_quantity(bound, "s") for bound in result.interval_s)
    time = format_quantity(result.step_time_s, "s")
    throughput = f"{rate(result.samples_per_s)} samples/s"
    if result.job.model.tokens_per_sample > 1:
        throughput += f", {result.tokens_per_s:,.0f} tokens/s"
    lines = [
        f"  step time    {time}   ({low} … {high}{_cases(result)})",
        f"  throughput   {throughput}",
        f"  MFU          {result.mfu:.1%}{_convention(result)}",
    ]
    if result.hfu > result.mfu:
        lines.append(f"  HFU          {result.hfu:.1%}, with recomputed FLOP")
    if result.status == "out_of_memory":
        capacity = result.job.cluster.device.memory
        need, have = format_memory(result.memory_peak_bytes), format_memory(capacity)
        lines.append(f"  DOES NOT FIT: needs {need}, the device has {have}")
        lines.append(f"  {_remedy(result)}")
    return "\n".join(lines)


def _remedy(result: Result) -> str:
    """Return the nearest change that would fit."""
    found = remedy(result.job.plan)
    if found is None:
        return "nothing tried would make it fit: more devices, or a smaller model"
    change, need = found
    keys = ", ".join(f"{key} = {value}" for key, value in change.items())
    return f"it would fit with {keys} ({format_memory(need)})"


def _cases(result: Result) -> str:
    """Return what the interval is worth."""
    return " in nine of ten cases" if result.is_interval_measured else ", assumed"


def _convention(result: Result) -> str:
    attention = result.job.model.attention
    if result.job.plan.training.precision == "fp8":
        return " of the fp8 peak, which attention does not use"
    return "" if attention == "none" else f" ({attention} attention, counted in full)"


def _breakdown(result: Result) -> str:
    lines = ["  where the step goes (mean over devices)"]
    for key, seconds in asdict(result.breakdown).items():
        share = seconds / result.step_time_s
        if share < 5e-5:
            continue
        bar = "█" * round(_BAR * share)
        time = format_quantity(seconds, "s")
        line = f"    {_PART_NAMES[key]:<25}{time:>9}{share:>8.1%}  {bar}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def _memory(result: Result) -> str:
    capacity = result.job.cluster.device.memory
    where = ""
    if result.job.plan.parallelism.pipeline > 1:
        where = f" (pipeline rank {result.memory_rank})"
    used, whole = format_memory(result.memory_peak_bytes), format_memory(capacity)
    lines = [
        f"  memory of the fullest device{where}: {used} of {whole}",
        f"    at its fullest in the {result.memory_when}",
    ]
    for key, size in asdict(result.memory).items():
        if size:
            share = size / capacity
            bar = "█" * round(_BAR * min(share, 1))
            name = _MEMORY_NAMES[key]
            line = f"    {name:<25}{format_memory(size):>9}{share:>8.1%}  {bar}"
            lines.append(line.rstrip())
    return "\n".join(lines)


def _network(result: Result) -> str:
    if result.job.located is None:
        return ""
    from simulator.reporting.network import network_text  # noqa: PLC0415 - same
    from simulator.reporting.overbooked import overbooked_text  # noqa: PLC0415 - NumPy

    text = network_text(result)
    if result.engine == "analytical" and (reason := overbooked_text(result)):
        text += f"\n    {reason}"
    return text


def _contributions(result: Result, num_shown: int) -> str:
    legend = "(F forward, I and W gradients of inputs and weights)"
    lines = [f"  largest contributions to the critical path {legend}"]
    parts = contributions(result)[:num_shown]
    marks, notes = footnotes(parts)
    for part, mark in zip(parts, marks, strict=True):
        time = format_quantity(part.time, "s")
        lines.append(f"    {part.name:<25}{time:>9}{part.share:>8.1%}  {mark}")
    lines += [f"    {note}" for note in notes]
    return "\n".join(lines)


def _trust(result: Result) -> str:
    profile = result.job.profile
    if not result.is_interval_measured:
        family = result.job.model.family
        measured = f"no such network ({family}) was measured on this device and links"
    else:
        measured = "the interval is that of rows outside the fit"
    return (
        f"  how far to trust it: {measured}\n"
        f"  profile '{profile.name}': {profile.basis}\n"
        f"  engine {result.engine}, plan {str(result.provenance['plan_sha256'])[:12]}"
    )
