"""The same conditions for every measurement on this machine, and a record of them."""

from __future__ import annotations

import ctypes
import os
import platform
from datetime import UTC, datetime

import torch

from topologies.units import parse_quantity

_MMAP_THRESHOLD = -3  # of mallopt(3)
_TRIM_THRESHOLD = -1
_MOST_MAPPED = int(parse_quantity("32 MiB", "B"))  # that glibc takes
_NEVER = 2**31 - 1


def quieten() -> None:
    """Compute on one thread, and let the allocator keep what it has from the system.

    Fresh pages would be cleared by the kernel again and again, as often as the sizes
    around happen to ask for it.
    """
    torch.set_num_threads(1)
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_MMAP_THRESHOLD, _MOST_MAPPED)
        libc.mallopt(_TRIM_THRESHOLD, _NEVER)
    except (OSError, AttributeError):  # another C library
        return


def today() -> str:
    """Return the date of the measurement."""
    return datetime.now(UTC).date().isoformat()


def conditions(device: str) -> dict[str, str]:
    """Return what the measurements depend on: machine, versions, load."""
    found = {
        "date": today(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load": " ".join(f"{each:.2f}" for each in os.getloadavg()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": str(torch.get_num_threads()),
    }
    if device == "cuda":
        found["gpu"] = torch.cuda.get_device_name()
        found["cuda"] = str(torch.version.cuda)
        found["cudnn"] = str(torch.backends.cudnn.version())
    return found


def _processor() -> str:
    """Return the processor's name, as the system has it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - a device
            names = [line for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0].partition(":")[2].strip() if names else platform.processor()
