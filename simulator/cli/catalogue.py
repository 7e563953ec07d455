"""`check`, `schema`, `list`: what a plan may say, and whether one does."""

# ruff: noqa: PLC0415 - bodies import what they need when they run

from __future__ import annotations

from collections.abc import Sequence

import click

from simulator.cli.options import (
    debug_option,
    json_option,
    load,
    print_json,
    set_option,
)
from simulator.errors import PlanError

# Written out, because what lists them is not loaded for `--help`.
_KINDS = ("models", "devices", "links", "topologies", "schemes", "profiles")


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
            plan = load(path, changes)
        except PlanError as error:
            click.echo(str(error), err=True)
            faulty += 1
        else:
            where = f"{plan.world_size} x {plan.cluster.device}"
            click.echo(f"{path}: no faults; {plan.build_model().name} on {where}")
    if faulty:
        ctx.exit(PlanError.exit_code)


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
    from simulator.plans.listing import rows_of, table

    rows = rows_of(kind)
    if as_json:
        print_json({"kind": kind, kind: rows})
    else:
        click.echo(table(rows, without={"source"}))
