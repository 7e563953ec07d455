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
    load_any,
    plan_options,
    print_json,
    writing,
)

if TYPE_CHECKING:
    from simulator.one_collective.plan import CollectivePlan
    from simulator.plan import Plan
    from simulator.results.result import Engine, Result
    from topologies.graphs.arrays import Floats


@click.command(name=DEFAULT)
@plan_options
@json_option
@click.option("--trace", type=FILE, help="Write a timeline for Perfetto.")
@click.option("--plot", type=FILE, help="Draw where the step time goes.")
@click.option("--plot-network", type=FILE, help="Draw the network, links by load.")
@click.option("--explain", is_flag=True, help="Add the critical path, priced.")
@click.option("--sources", is_flag=True, help="Add where the numbers come from.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of all noise.")
@click.option("--replicas", type=click.IntRange(min=1), help="Repeat with new noise.")
@click.option(
    "--expand",
    is_flag=True,
    help="On a graph, send every message of a collective by itself: a slow check.",
)
@click.option("--unfolded", is_flag=True, hidden=True, help="Simulate every rank.")
def predict(  # noqa: PLR0913, PLR0917 - one parameter an option
    plan: str,
    changes: Sequence[str],
    engine: Engine,
    as_json: bool,
    trace: Path | None,
    plot: Path | None,
    plot_network: Path | None,
    explain: bool,
    sources: bool,
    seed: int,
    replicas: int | None,
    expand: bool,
    unfolded: bool,
) -> None:
    """Predict one plan and print a report (what `simulate PLAN.toml` does)."""
    loaded = load_any(plan, changes)
    from simulator.plan import Plan

    if not isinstance(loaded, Plan):
        if trace or plot or explain or sources:
            problem = "one collective has no timeline, and nothing to explain"
            raise click.UsageError(problem)
        _check_pictures(loaded, None, plot_network)
        _print_collective(loaded, plot_network, seed, as_json=as_json)
        return
    if replicas is not None and replicas > 1:
        raise click.UsageError("--replicas is not built yet: nothing is random so far")
    _check_pictures(loaded, plot, plot_network)
    notes = _notes(loaded, engine)
    click.echo("".join(f"note: {note}\n" for note in notes), err=True, nl=False)
    from simulator.api import simulate
    from simulator.progress import Heartbeat

    with Heartbeat("predicting"):
        result = simulate(
            loaded,
            engine=engine,
            seed=seed,
            is_folded=not unfolded,
            is_expanded=expand,
        )
    values = {**result.to_json(), "notes": notes}
    texts = _texts(result, explain=explain, sources=sources)
    if as_json:
        print_json({**values, **texts})
    else:
        from simulator.reporting.report import text_report

        click.echo("\n\n".join([text_report(result), *texts.values()]))
    _write(result, trace, plot)
    if plot_network:
        from simulator.results.links import utilization

        used = utilization(result) if result.job.located else None
        _draw_network(loaded, used, plot_network, seed)
    _judge(loaded, values)


def _notes(plan: Plan, engine: Engine) -> list[str]:
    """Return what to know of a plan before its prediction is read."""
    from simulator.reporting.notes import (
        adapter_notes,
        engine_notes,
        state_notes,
        topology_notes,
    )

    return [
        *adapter_notes(plan),
        *topology_notes(plan),
        *state_notes(plan),
        *engine_notes(plan, engine),
    ]


def _texts(result: Result, *, explain: bool, sources: bool) -> dict[str, str]:
    """Return what is asked for beside the report, by the name of its option."""
    texts = {}
    if explain:
        from simulator.reporting.explain import explain as explained

        texts["explain"] = explained(result)
    if sources:
        from simulator.reporting.sources import sources as sources_of

        texts["sources"] = sources_of(result)
    return texts


def _print_collective(
    plan: CollectivePlan, plot_network: Path | None, seed: int, *, as_json: bool
) -> None:
    """Predict one collective, print it, and draw its network."""
    from simulator.one_collective.report import collective_report
    from simulator.one_collective.result import predict_collective
    from simulator.progress import Heartbeat

    with Heartbeat("predicting"):
        result = predict_collective(plan, seed=seed)
    if as_json:
        print_json(result.to_json())
    else:
        click.echo(collective_report(result))
    if plot_network:
        network = result.network
        used = network.utilization(result.time_s) if network else None
        _draw_network(plan, used, plot_network, seed)


def _check_pictures(
    plan: Plan | CollectivePlan, plot: Path | None, network: Path | None
) -> None:
    """Refuse pictures that cannot be drawn, before the work begins."""
    check_picture(plot)
    check_picture(network)
    if network:
        from simulator.plot import check_network

        check_network(plan)


def _write(result: Result, trace: Path | None, plot: Path | None) -> None:
    """Write the timeline and the picture that were asked for."""
    if trace:
        from simulator.progress import Heartbeat
        from simulator.reporting.trace import write_trace

        with writing(trace), Heartbeat("writing the trace"):
            write_trace(result, trace)
    if plot:
        from simulator.plot import plot_breakdown

        with writing(plot):
            plot_breakdown(result, plot)


def _draw_network(
    plan: Plan | CollectivePlan, used: Floats | None, path: Path, seed: int
) -> None:
    """Draw the network, coloured by what is used of its links."""
    from simulator.plot import plot_network

    with writing(path):
        plot_network(plan, path, utilization=used, seed=seed)


def _judge(plan: Plan, values: dict[str, Any]) -> None:
    """End with the exit code that the prediction calls for."""
    from simulator.errors import ExpectationFailed, Infeasible
    from simulator.plans.expectations import failures

    if values["status"] != "completed":
        reason = str(values["status"]).replace("_", " ")
        raise Infeasible(f"the plan is valid, but infeasible: {reason}")
    if failed := failures(plan.expect, values):
        raise ExpectationFailed("\n".join(failed))
