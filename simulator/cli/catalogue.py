"""`check`, `schema`, `list`: what a plan may say, and whether one does."""

# ruff: noqa: PLC0415 - bodies import what they need when they run

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from simulator.cli.options import (
    debug_option,
    json_option,
    load_any,
    print_json,
    set_option,
)
from simulator.errors import PlanError

if TYPE_CHECKING:
    from simulator.one_collective.plan import CollectivePlan
    from simulator.plan import Plan

# Written out, because what lists them is not loaded for `--help`.
_KINDS = ("models", "devices", "links", "topologies", "schemes", "profiles")

# Columns that are too wide for a terminal, or said by others.
_LONG = frozenset({"source", "topology", "parameters", "bisection is"})


@click.command()
@click.argument("plans", metavar="PLAN.toml...", nargs=-1, required=True)
@set_option
@debug_option
@click.pass_context
def check(ctx: click.Context, plans: Sequence[str], changes: Sequence[str]) -> None:
    """Check plans for faults, without predicting anything."""
    faulty = 0
    for path in plans:
        try:
            plan = load_any(path, changes)
        except PlanError as error:
            click.echo(str(error), err=True)
            faulty += 1
        else:
            click.echo(f"{path}: no faults; {_in_short(plan)}")
    if faulty:
        ctx.exit(PlanError.exit_code)


def _in_short(plan: Plan | CollectivePlan) -> str:
    """Return what a plan is about."""
    from simulator.plan import Plan

    if isinstance(plan, Plan):
        where = f"{plan.world_size} x {plan.cluster.device}"
        return f"{plan.build_model().name} on {where}"
    return f"{plan.collective.pattern} on {plan.num_ranks} x {plan.cluster.device}"


@click.command()
def schema() -> None:
    """Print the JSON Schema of a plan, for editors."""
    from simulator.schema import json_schema

    print_json(json_schema())


@click.command(name="list")
@click.argument("kind", type=click.Choice(_KINDS))
@json_option
def list_(kind: str, as_json: bool) -> None:
    """List what a plan may name."""
    from simulator.reporting.listing import rows_of, table

    rows = rows_of(kind)
    if as_json:
        print_json({"kind": kind, kind: rows})
    else:
        click.echo(table(rows, without=_LONG))
