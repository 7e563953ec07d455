"""`simulate run` and `simulate validate`: plans for real, on torch.distributed."""

# ruff: noqa: PLC0415 - bodies import what they need when they run

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from simulator.cli.options import (
    FILE,
    debug_option,
    json_option,
    print_json,
    set_option,
    writing,
)

if TYPE_CHECKING:
    from simulator.plan import Plan

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _run_options(function: _Function) -> _Function:
    """Add the options of every command that runs a plan."""
    for option in (
        debug_option,
        set_option,
        json_option,
        click.option(
            "--timeout",
            "patience",
            type=click.FloatRange(min=1),
            default=60.0,
            show_default=True,
            help="Seconds that a rank waits for another.",
        ),
        click.option(
            "--data",
            type=click.Path(path_type=Path),
            help="Samples: a file of tokens (.npy, or raw words), or a folder with a "
            "folder a class of images or .npy arrays. Left out, random numbers.",
        ),
        click.option("--seed", type=int, default=0, show_default=True),
        click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu"),
        click.option(
            "--compute",
            type=click.Choice(["real", "timed"]),
            default="real",
            help="Run kernels, or wait as long as they should take.",
        ),
        click.option(
            "--network",
            type=click.Choice(["host", "emulated"]),
            default="host",
            help="This machine's own, or one emulated from the plan's graph.",
        ),
        click.option(
            "--steps",
            type=click.IntRange(min=1),
            default=5,
            show_default=True,
            help="Optimizer steps that are timed.",
        ),
    ):
        function = option(function)
    return function


@click.command()
@click.argument("plan", metavar="PLAN.toml")
@_run_options
def run(plan: str, changes: Sequence[str], as_json: bool, **options: Any) -> None:
    """Run a plan for real on torch.distributed."""
    (loaded,) = _loaded([plan], changes)
    # By name: imports run one way, and calibration is the last.
    running = import_module("calibration.torch_engine.running")
    from simulator.progress import Heartbeat

    with Heartbeat("running"):
        measured = running.run(loaded, running.Options(**options))
    if as_json:
        print_json(measured.to_json())
    else:
        click.echo(import_module("calibration.torch_engine.text").report(measured))


@click.command()
@click.argument("plans", metavar="PLAN.toml...", nargs=-1, required=True)
@_run_options
@click.option("--trace", type=FILE, help="Write both timelines for Perfetto.")
def validate(
    plans: Sequence[str],
    changes: Sequence[str],
    as_json: bool,
    trace: Path | None,
    **options: Any,
) -> None:
    """Predict plans and run them, side by side; exit 4 if they sent something else."""
    if trace and len(plans) > 1:
        raise click.UsageError("--trace is of one plan; give one")
    loaded = _loaded(plans, changes)
    validation = import_module("calibration.torch_engine.validation")
    chosen = import_module("calibration.torch_engine.running").Options(**options)
    from simulator.progress import Heartbeat

    with Heartbeat("running"):
        pairs = list(zip(plans, loaded, strict=True))
        found = validation.validate(pairs, chosen)
    if as_json:
        print_json(found.to_json())
    else:
        click.echo(found.text())
    if trace:
        overlay = import_module("calibration.torch_engine.overlay")
        with writing(trace):
            overlay.write_overlay(found.comparisons[0], trace)
    if not found.is_ledger_equal:
        from simulator.errors import ExpectationFailed

        raise ExpectationFailed("what was sent is not what was predicted")


def _loaded(paths: Sequence[str], changes: Sequence[str]) -> list[Plan]:
    """Return the plans in files; one of a single collective is refused."""
    from simulator.cli.options import load_any
    from simulator.plan import Plan

    plans = []
    for path in paths:
        plan = load_any(path, changes)
        if not isinstance(plan, Plan):
            raise click.UsageError(f"{path}: one collective by itself is not run yet")
        plans.append(plan)
    return plans
