"""What was measured, as a profile that plans name by its path."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from calibration.machine.sweep import Sweep
from simulator.plans.dumping import toml_key, toml_value
from topologies.kernels import KernelTable
from topologies.units import Bytes, format_quantity, parse_quantity

_DIGITS = 4


class Machine(NamedTuple):
    """Everything that a profile says.

    Fields:
        name: of the device, such as `cpu` or that of the GPU.
        device: `cpu` or `cuda`.
        memory: of the device [B].
        sweeps: by number format.
        conditions: machine, versions, date, load.
        links: fitted constants by link, as a profile file has them.
        rows: of exchanges, as they were measured.
        is_complete: whether all was measured that was wanted.
    """

    name: str
    device: str
    memory: Bytes
    sweeps: Mapping[str, Sweep]
    conditions: Mapping[str, str]
    links: Mapping[str, Mapping[str, str]]
    rows: Sequence[Mapping[str, Any]] = ()
    is_complete: bool = True


def memory_of(device: str) -> Bytes:
    """Return the capacity of a device [B]."""
    if device == "cuda":
        return float(torch.cuda.get_device_properties(0).total_memory)
    with open("/proc/meminfo", encoding="utf-8") as file:  # noqa: PTH123 - no file
        (total,) = (line for line in file if line.startswith("MemTotal"))
    return parse_quantity(f"{total.split()[1]} KiB", "B")


def profile_text(machine: Machine) -> str:
    """Return the profile as TOML text."""
    tables = {name: sweep.table() for name, sweep in machine.sweeps.items()}
    best = next(iter(tables.values()))
    title = f"{machine.name}, measured {machine.conditions['date']}"
    lines = [
        "# Written by `simulate calibrate`. A plan names this file in cluster.device.",
        f"title = {toml_value(title)}",
        f"basis = {toml_value(_basis(machine))}",
        f"is_complete = {toml_value(machine.is_complete)}",
        *_table("constants", _constants(machine, best)),
        *_table("error", _ERROR),
        *_table("device", _device(machine, best)),
        *_table("device.peak", {n: _rate(t.rate) for n, t in tables.items()}),
        *_table("device.source", _source(machine)),
        *_table("conditions", machine.conditions),
    ]
    for link, constants in machine.links.items():
        lines += _table(f"links.{link}", constants)
    for row in machine.rows:
        lines += ["", "[[exchanges]]", *_lines(row)]
    for name, table in tables.items():
        lines += _kernels(name, table, machine.sweeps[name])
    return "\n".join(lines) + "\n"


_ERROR = {
    "families": [],
    "low": -0.20,
    "high": 0.25,
    "source": "assumed: what a study of whole steps finds replaces it",
}


def _basis(machine: Machine) -> str:
    count = sum(len(sweep.measured) for sweep in machine.sweeps.values())
    return (
        f"{count} kernels measured one by one on {machine.name},"
        f" {machine.conditions['date']}; no whole step was fitted"
    )


def _constants(machine: Machine, table: KernelTable) -> dict[str, str]:
    """Return the constants for kernels that have no curve."""
    hosts = _hosts(machine)
    return {
        "matrix_efficiency": "1",
        "attention_efficiency": "1",
        "memory_efficiency": "1",
        "scores_efficiency": "1",
        "loss_efficiency": "1",
        "kernel_time": format_quantity(table.start, "s", _DIGITS),
        "host_forward": format_quantity(hosts[0], "s", _DIGITS),
        "host_backward": format_quantity(hosts[1], "s", _DIGITS),
        "host_message": format_quantity(hosts[0], "s", _DIGITS),
        "host_pass": "0 s",
        "host_step": "0 s",
        "device_overhead": "0 B",
    }


def _hosts(machine: Machine) -> tuple[float, float]:
    """Return the host time of a kernel, forward and backward [s].

    Nothing on a CPU, whose kernels' own times have it.
    """
    if machine.device == "cpu":
        return 0.0, 0.0
    measured = [each for sweep in machine.sweeps.values() for each in sweep.measured]
    forward = [each.host for each in measured if each.function.endswith("forward")]
    others = [each.host for each in measured if not each.function.endswith("forward")]
    return statistics.median(forward), statistics.median(others)


def _device(machine: Machine, table: KernelTable) -> dict[str, Any]:
    return {
        "name": machine.name,
        "title": machine.name,
        "memory": format_quantity(machine.memory, "B", _DIGITS),
        "memory_bandwidth": format_quantity(table.bandwidth, "B/s", _DIGITS),
        "num_units": 1,
        "fabric": "loopback",
    }


def _source(machine: Machine) -> dict[str, str]:
    when = machine.conditions["date"]
    how = f"fastest product and copy of `simulate calibrate`, {when}"
    return {"name": "measured", "locator": how, "how": "measured"}


def _rate(rate: float) -> str:
    return format_quantity(rate, "FLOP/s", _DIGITS)


def _kernels(name: str, table: KernelTable, sweep: Sweep) -> list[str]:
    """Return the lines of one format's measured kernels."""
    head = {
        "start": format_quantity(table.start, "s", _DIGITS),
        "rate": _rate(table.rate),
        "bandwidth": format_quantity(table.bandwidth, "B/s", _DIGITS),
        "spread": round(sweep.spread(), _DIGITS),
        "columns": "dimensions of the kernel [1], FLOP, bytes [B], median time [s]",
    }
    lines = [*_table(f"kernels.{name}", head), "", f"[kernels.{name}.points]"]
    for function, points in sorted(table.points.items()):
        rows = (_row((*p.dims, p.flop, p.size, p.time)) for p in points)
        lines += [f"{toml_key(function)} = [", *(f"  {row}," for row in rows), "]"]
    return lines


def _row(numbers: Sequence[float]) -> str:
    return f"[{', '.join(f'{number:.6g}' for number in numbers)}]"


def _table(name: str, content: Mapping[str, Any]) -> list[str]:
    return ["", f"[{name}]", *_lines(content)]


def _lines(content: Mapping[str, Any]) -> list[str]:
    return [f"{toml_key(key)} = {toml_value(value)}" for key, value in content.items()]
