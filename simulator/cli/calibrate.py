"""`simulate calibrate`: what this machine does, measured and written as a profile."""

from __future__ import annotations

import math
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from simulator.cli.options import FILE, debug_option, writing


@click.command()
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="What to measure: one thread of this machine, or its first GPU.",
)
@click.option(
    "--out",
    type=FILE,
    default=Path("machine.toml"),
    show_default=True,
    help="Profile to write; a plan names it in cluster.device.",
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    default=("fp32",),
    show_default=True,
    type=click.Choice(["fp32", "tf32", "fp16", "bf16"]),
    help="Number format to measure; may be repeated, most wanted first.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="So many measure at once, as ranks that compute on several cores do.",
)
@click.option("--quick", is_flag=True, help="Fewer sizes: a minute, not many.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Begin nothing more after so long; what is finished is written.",
)
@debug_option
def calibrate(out: Path, quick: bool, budget: float | None, **options: Any) -> None:
    """Measure this machine's kernels and links, and write them as a profile.

    Progress goes to stderr. Ctrl-C keeps what is finished.
    """
    if find_spec("torch") is None:
        from simulator.errors import MissingOptional  # noqa: PLC0415 - see options

        raise MissingOptional("torch, which computes,", "pip install torch")
    # By name: imports run one way, and calibration is the last.
    measure = import_module("calibration.machine.calibrate").calibrate
    limit = math.inf if budget is None else budget
    grid = "quick" if quick else None
    with writing(out):
        measure(out, grid=grid, budget=limit, **options)
