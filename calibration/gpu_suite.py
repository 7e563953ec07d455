"""Everything that one NVIDIA GPU can tell, in ten minutes.

    python -m calibration.gpu_suite FOLDER [--budget 600] [--device cuda] [--grid gpu]

writes into FOLDER, and rewrites after every part, so that an end at any time keeps what
is finished:

    gpu.toml        a profile: kernels by shape and format, link constants
    results.toml    conditions; whole steps (eager, compiled, graph) of ten networks
                    beside their predictions from that profile alone; peak memory
                    beside its prediction; copies; fp8 products; every split at 1 to 4
                    ranks on the one card

The parts come by value, and each has a share of the budget. `--device cpu --grid toy`
runs all of it, as far as a CPU can, in seconds: so the tests do.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from calibration.machine.calibrate import calibrate
from calibration.machine.copies import copies, narrow_products
from calibration.machine.split_runs import split_runs
from calibration.machine.sweep import to_stderr
from calibration.machine.table_of_steps import steps_table, summaries
from calibration.quiet import conditions, quieten
from simulator.plans.dumping import to_toml
from topologies.units import Seconds

_SHARES = {"kernels": 0.45, "steps": 0.4, "copies": 0.05, "splits": 0.1}
"""Parts of the budget, in order of value."""

_TOY_SPLITS = 2  # of which a test sees that they run

_FORMATS = {"cuda": ("bf16", "fp32", "tf32", "fp16"), "cpu": ("fp32",)}


def run(folder: Path, device: str, grid: str, budget: Seconds) -> dict[str, Any]:
    """Run all parts, each for its share of the budget, and return the results.

    Args:
        folder: where files go.
        device: `cuda` or `cpu`.
        grid: sizes, a name of `shapes.GRIDS` and of `studied.STUDIES`.
        budget: of all [s].
    """
    quieten()
    folder.mkdir(parents=True, exist_ok=True)
    profile, begin = folder / "gpu.toml", time.monotonic()
    found: dict[str, Any] = {"conditions": conditions(device), "skipped": []}
    formats = _FORMATS[device]
    limit = _SHARES["kernels"] * budget
    calibrate(profile, device=device, formats=formats, grid=grid, budget=limit)

    def part(name: str, work: Callable[[Seconds], Any]) -> None:
        """Do one part, and keep what it finds; a failure is a finding."""
        end = time.monotonic() + _SHARES[name] * budget
        try:
            found[name] = work(end)
        except (RuntimeError, ImportError, OSError, ValueError) as error:
            reason = f"{name}: {type(error).__name__}: {error}"
            found["skipped"].append(reason.splitlines()[0])
        (folder / "results.toml").write_text(to_toml(found), encoding="utf-8")
        to_stderr(f"{name}: done after {time.monotonic() - begin:.0f} s")

    part("steps", lambda end: steps_table(profile, device, grid, end, found["skipped"]))
    part("copies", lambda _: [*copies(device), *narrow_products(device)])
    most = _TOY_SPLITS if grid == "toy" else 100
    part("splits", lambda end: split_runs(device, end, most))
    found["summary"] = summaries(found.get("steps", []))
    found["took"] = f"{time.monotonic() - begin:.0f} s"
    (folder / "results.toml").write_text(to_toml(found), encoding="utf-8")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--budget", type=float, default=600.0)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--grid", default="gpu")
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no NVIDIA GPU; --device cpu --grid toy runs without")
    found = run(given.folder, given.device, given.grid, given.budget)
    for row in found["summary"]:
        sys.stdout.write(f"{row}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
