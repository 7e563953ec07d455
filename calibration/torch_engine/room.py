"""Is there what a plan's ranks need on this machine: devices, and memory on them?

Asked before any rank starts. A rank holds what the simulator says of the fullest one,
or, before that, the whole model, from which it takes its share.

Limits: memory that a container may not use counts as free; ranks on other machines are
asked about there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from runpy import run_path
from typing import NamedTuple

from calibration.torch_engine.errors import UnrunnableError
from calibration.torch_engine.serving.places import num_processes, places_of
from calibration.torch_engine.task import Device
from simulator.errors import Infeasible
from simulator.job import Job
from simulator.lowering.formats import element_bytes
from simulator.lowering.states import kept_precision
from simulator.memory.peak import memory
from topologies.units import Bytes, Count, format_quantity, parse_quantity

_PROCESS: Bytes = parse_quantity("127 MiB", "B")
"""Of a rank that are no tensors: its own pages after three steps of a small GPT.

Source: Private_Dirty of /proc/PID/smaps_rollup, four ranks, torch 2.13, 2026-11-21."""
_ASK = (
    "import json, torch; n = torch.cuda.device_count();"
    "print(json.dumps([torch.cuda.mem_get_info(k)[0] for k in range(n)]))"
)


class Room(NamedTuple):
    """What ranks have on this machine.

    Fields:
        free: of its memory, or of each of its GPUs [B].
        ranks: that share it, or at most share one of these [1].
    """

    free: Bytes
    ranks: Count


def backend_of(job: Job, device: Device) -> str:
    """Return what ranks send by; NCCL wants a GPU a rank.

    Raises:
        UnrunnableError: there is no such device.
        Infeasible: its memory does not hold the ranks.
    """
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", num_processes(job.plan)))
    if device == "cpu":
        _check(job, device, Room(free_memory(), ranks))
        return "gloo"
    free = free_on_devices()
    workers = min(ranks, job.plan.world_size)
    each = -(-workers // len(free))
    _check(job, device, Room(min(free), each))
    return "gloo" if each > 1 else "cuda:nccl,cpu:gloo"


def needs(job: Job, device: Device) -> Bytes:
    """Return what the fullest rank needs, with its process [B].

    Convolutions on a CPU have no workspace of the kind that is predicted.
    """
    plan = job.plan
    whole = element_bytes(kept_precision(plan)) * job.model.parameters
    parts, _ = memory(job)
    if device == "cuda":
        return max(parts.total, whole + parts.overhead)
    return max(parts.allocated - parts.workspace, whole) + _PROCESS


def free_memory() -> Bytes:
    """Return what new processes may take of this machine's memory [B]."""
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    (available,) = (line for line in lines if line.startswith("MemAvailable"))
    return parse_quantity(f"{available.split()[1]} KiB", "B")


def free_on_devices() -> tuple[Bytes, ...]:
    """Return the free memory of every GPU, asked for in a process of its own [B].

    Raises:
        UnrunnableError: there is none, or torch cannot use it.
    """
    if not _has_cuda():
        raise UnrunnableError(
            "--device cuda: the torch that is installed is for CPUs only; install one "
            "with CUDA, or write --device cpu"
        )
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", _ASK], capture_output=True, text=True, check=False
    )
    free: list[float] = json.loads(done.stdout) if not done.returncode else []
    if not free:
        said = (done.stderr.strip().splitlines() or ["it sees no GPU"])[-1]
        raise UnrunnableError(f"--device cuda: {said}; write --device cpu")
    return tuple(free)


def _has_cuda() -> bool:
    """Return whether torch was built for GPUs, without loading it."""
    found = find_spec("torch")
    assert found is not None, "torch is required first"
    assert found.origin is not None, "same"
    version = Path(found.origin).with_name("version.py")
    return bool(run_path(str(version)).get("cuda"))


def _check(job: Job, device: Device, room: Room) -> None:
    """Refuse ranks that do not fit.

    Raises:
        Infeasible: they do not.
    """
    hosts = min(places_of(job.plan).hosts, int(room.ranks)) if device == "cpu" else 0
    each, ranks = needs(job, device), int(room.ranks) - hosts
    # A host has the parameters, and once more what it adds and what arrives.
    whole = element_bytes(kept_precision(job.plan)) * job.model.parameters
    together = ranks * each + hosts * (3 * whole + _PROCESS)
    if together <= room.free:
        return
    said, of_all, free = (
        format_quantity(size, "B") for size in (each, together, room.free)
    )
    where = "this machine" if device == "cpu" else "a GPU"
    raise Infeasible(
        f"{ranks} ranks of {said} each need {of_all} together, and {where} has {free} "
        "free; lower batch.micro, the model's size, or the number of ranks"
    )
