"""`simulate scale`: one plan over ranges of its keys, or several over the same."""

# ruff: noqa: PLC0415 - bodies import what they need when they run

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.cli.options import (
    FILE,
    check_picture,
    debug_option,
    engine_option,
    json_option,
    load_any,
    print_json,
    set_option,
    writing,
)
from simulator.errors import Fault, Infeasible, PlanError

if TYPE_CHECKING:
    from simulator.plan import Plan
    from simulator.results.result import Engine
    from simulator.scaling import Scaling, Study


@click.command()
@click.argument("plans", metavar="PLAN.toml...", nargs=-1, required=True)
@set_option
@engine_option
@debug_option
@json_option
@click.option(
    "--over",
    metavar="KEY=V1,V2,...",
    multiple=True,
    required=True,
    help="Values to try; several --over are combined.",
)
@click.option("--weak", is_flag=True, help="Let the batch grow with the devices.")
@click.option("--csv", type=FILE, help="Write the table as CSV.")
@click.option("--plot", type=FILE, help="Draw the curve.")
def scale(  # noqa: PLR0913, PLR0917 - one parameter an option
    plans: Sequence[str],
    changes: Sequence[str],
    engine: Engine,
    as_json: bool,
    over: Sequence[str],
    weak: bool,
    csv: Path | None,
    plot: Path | None,
) -> None:
    """Predict plans over a range of values: the scaling curve, or a study of several.

    Several plans share one table, and a picture with a row of panels for each.
    """
    values, loaded = _ranges(over), [_load(plan, changes) for plan in plans]
    check_picture(plot)
    from simulator.scaling import scale as scaled
    from simulator.scaling import study

    scaling: Scaling | Study
    if len(loaded) == 1:
        scaling = scaled(loaded[0], values, engine, weak=weak)
        points = scaling.points
    else:
        scaling = study(loaded, values, engine, weak=weak)
        points = tuple(point for each in scaling.scalings for point in each.points)
    if as_json:
        print_json(scaling.to_json())
    else:
        click.echo(scaling.text())
    if csv:
        with writing(csv):
            csv.write_text(scaling.to_csv(), encoding="utf-8")
    if plot:
        with writing(plot):
            scaling.plot(plot)
    if scaling.is_interrupted:
        raise KeyboardInterrupt
    if not any(point.is_feasible for point in points):
        raise Infeasible("no point of the table can run")


def _load(path: str, changes: Sequence[str]) -> Plan:
    """Return the plan of training in a file, and refuse one of one collective."""
    from simulator.plan import Plan
    from simulator.plans.files import read_text
    from simulator.plans.reading import located

    loaded = load_any(path, changes)
    if not isinstance(loaded, Plan):
        problem = "is of a plan of one collective"
        remedy = "`simulate scale` takes plans of training"
        fault = Fault("collective", problem, remedy)
        raise PlanError(located([fault], read_text(path)), path)
    return loaded


def _ranges(over: Sequence[str]) -> dict[str, list[Any]]:
    """Return the values of each `--over KEY=V1,V2`, by key."""
    from simulator.plans.hints import unknown_path
    from simulator.plans.overrides import parse_value
    from simulator.plans.records import plan_keys

    found: dict[str, list[Any]] = {}
    faults = []
    for text in over:
        key, _, values = text.partition("=")
        given = f"--over {text}"
        if key not in plan_keys():
            faults.append(replace(unknown_path(key), given=given))
        elif key in found:
            faults.append(Fault(key, "is given twice", given=given))
        elif not all(value.strip() for value in values.split(",")):
            remedy = f"write --over {key}=V1,V2"
            faults.append(Fault(key, "has no values", remedy, given=given))
        found[key] = [parse_value(value.strip()) for value in values.split(",")]
    if faults:
        raise PlanError(faults, "the command line")
    return found
