"""`simulate calibrate`: measure this machine, and write what was found as a profile."""

from __future__ import annotations

import math
import platform
import time
from pathlib import Path

import torch

from calibration.machine.clock import Clock
from calibration.machine.company import in_company
from calibration.machine.errors import Unavailable
from calibration.machine.links import Links, measured_links
from calibration.machine.profile_file import Machine, memory_of, profile_text
from calibration.machine.shapes import GRIDS
from calibration.machine.sweep import Say, Sweep, to_stderr
from calibration.quiet import conditions, quieten
from topologies.units import Count, Seconds


def calibrate(  # noqa: PLR0913 - the options of a command
    out: Path,
    *,
    device: str = "cpu",
    formats: tuple[str, ...] = ("fp32",),
    grid: str | None = None,
    budget: Seconds = math.inf,
    with_links: bool = True,
    processes: Count = 1,
    say: Say = to_stderr,
) -> None:
    """Measure kernels and links, and write a profile.

    Interrupted, or at the end of the budget, it writes what is finished.

    Args:
        out: file of the profile.
        device: `cpu` or `cuda`.
        formats: of numbers, most wanted first.
        grid: which sizes, a name of `shapes.GRIDS`; those of the device if left out.
        budget: after which nothing is begun [s].
        with_links: whether two processes exchange messages.
        processes: that measure the same at once on this machine's cores [1].
        say: told of progress.

    Raises:
        KeyboardInterrupt: again, when what is finished is written.
        OSError: the file cannot be written.
        Unavailable: there is no GPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise Unavailable("torch sees no NVIDIA GPU")
    quieten()
    found = conditions(device) | {"processes": str(processes)}
    say(f"this machine: {found}")
    deadline = time.monotonic() + budget
    name = grid or ("gpu" if device == "cuda" else "cpu")
    sizes = GRIDS[name]
    sweeps: dict[str, Sweep] = {}
    measured = Links({}, ())
    is_interrupted = False
    try:
        with in_company(processes - 1, name):
            for number_format in formats:
                clock = Clock(device)
                sweeps[number_format] = sweep = Sweep(
                    clock=clock, number_format=number_format, deadline=deadline, say=say
                )
                sweep.run(sizes)
        if with_links and time.monotonic() < deadline:
            measured = measured_links(device, say)
    except KeyboardInterrupt:
        say("interrupted; what is finished is written")
        is_interrupted = True
    begun = {name: sweep for name, sweep in sweeps.items() if sweep.measured}
    if not begun:
        raise KeyboardInterrupt
    machine = Machine(
        name=name_of(device),
        device=device,
        memory=memory_of(device),
        sweeps=begun,
        conditions=found,
        links=measured.fits,
        rows=measured.rows,
        is_complete=not is_interrupted and all(s.is_complete for s in begun.values()),
    )
    out.write_text(profile_text(machine), encoding="utf-8")
    if is_interrupted:
        raise KeyboardInterrupt


def name_of(device: str) -> str:
    """Return what the measured device is called."""
    if device == "cuda":
        return str(torch.cuda.get_device_name())
    return f"one thread of {platform.machine()}"
