"""`simulate PLAN.toml`: one plan, one report."""

# ruff: noqa: PLC0415 - bodies import what they need when they run

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.cli.group import DEFAULT
from simulator.cli.options import (
    FILE,
    check_picture,
    json_option,
    load,
    plan_options,
    print_json,
    writing,
)

if TYPE_CHECKING:
    from simulator.plan import Plan
    from simulator.result import Engine


@click.command(name=DEFAULT)
@plan_options
@json_option
@click.option("--trace", type=FILE, help="Write a timeline for Perfetto.")
@click.option("--plot", type=FILE, help="Draw where the step time goes.")
@click.option("--explain", is_flag=True, help="Add the critical path, priced.")
@click.option("--sources", is_flag=True, help="Add where the numbers come from.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of all noise.")
@click.option("--replicas", type=click.IntRange(min=1), help="Repeat with new noise.")
@click.option("--unfolded", is_flag=True, hidden=True, help="Simulate every rank.")
def predict(  # noqa: PLR0913, PLR0917 - one parameter an option
    plan: str,
    changes: Sequence[str],
    engine: Engine,
    as_json: bool,
    trace: Path | None,
    plot: Path | None,
    explain: bool,
    sources: bool,
    seed: int,
    replicas: int | None,
    unfolded: bool,
) -> None:
    """Predict one plan and print a report (what `simulate PLAN.toml` does)."""
    loaded = load(plan, changes)
    if replicas is not None and replicas > 1:
        raise click.UsageError("--replicas is not built yet: nothing is random so far")
    check_picture(plot)
    from simulator.api import simulate
    from simulator.progress import Heartbeat

    with Heartbeat("predicting"):
        result = simulate(loaded, engine=engine, seed=seed, is_folded=not unfolded)
    values = result.to_json()
    texts = {}
    if explain:
        from simulator.explain import explain as explained

        texts["explain"] = explained(result)
    if sources:
        from simulator.sources import sources as sources_of

        texts["sources"] = sources_of(result)
    if as_json:
        print_json({**values, **texts})
    else:
        from simulator.report import text_report

        click.echo("\n\n".join([text_report(result), *texts.values()]))
    if trace:
        from simulator.trace import write_trace

        with writing(trace), Heartbeat("writing the trace"):
            write_trace(result, trace)
    if plot:
        from simulator.plot import plot_breakdown

        with writing(plot):
            plot_breakdown(result, plot)
    _judge(loaded, values)


def _judge(plan: Plan, values: dict[str, Any]) -> None:
    """End with the exit code that the prediction calls for."""
    from simulator.errors import ExpectationFailed, Infeasible
    from simulator.plans.expectations import failures

    if values["status"] != "completed":
        reason = str(values["status"]).replace("_", " ")
        raise Infeasible(f"the plan is valid, but infeasible: {reason}")
    if failed := failures(plan.expect, values):
        raise ExpectationFailed("\n".join(failed))
