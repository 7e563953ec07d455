"""What several commands share: options, and how they load, print and write."""

# ruff: noqa: PLC0415 - bodies import what they need when they run

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from simulator.one_collective.plan import CollectivePlan
    from simulator.plan import Plan

_Function = TypeVar("_Function", bound=Callable[..., Any])


class _OutputFile(click.Path):
    """A file to write, refused before the work begins if it cannot be."""

    def convert(  # type: ignore[explicit-override]  # of typing from Python 3.12 on
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        """Return the path, or refuse it as every other wrong argument."""
        path = Path(str(super().convert(value, param, ctx)))
        place = path if path.exists() else path.parent
        if not place.exists():
            raise click.UsageError(f"cannot write {path}: there is no folder {place}")
        if not os.access(place, os.W_OK):
            raise click.UsageError(f"cannot write {path}: permission denied")
        return path


FILE = _OutputFile(dir_okay=False, path_type=Path)

# `program` looks for the word itself: an error can come before options are parsed.
debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, help="Show tracebacks."
)
set_option = click.option(
    "--set",
    "changes",
    metavar="KEY=VALUE",
    multiple=True,
    help="Replace a value of the plan, as in parallelism.tensor=4; KEY= removes it.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object."
)

engine_option = click.option(
    "--engine",
    type=click.Choice(["analytical", "event"]),
    default="event",
    show_default=True,
    help="What turns operations into times.",
)


def plan_options(function: _Function) -> _Function:
    """Add the argument and options of every command that predicts a plan."""
    for option in (
        debug_option,
        engine_option,
        set_option,
        click.argument("plan", metavar="PLAN.toml"),
    ):
        function = option(function)
    return function


def load_any(path: str, changes: Sequence[str]) -> Plan | CollectivePlan:
    """Return the plan in a file, with `--set`: of training, or of one collective."""
    from simulator.errors import PlanError
    from simulator.plan import Plan
    from simulator.plans.reading import read_mapping

    try:
        content = read_mapping(path)[1]
    except PlanError:  # which loading it says as well
        content = {}
    if "collective" not in content:
        return Plan.load(path, changes)
    from simulator.one_collective.plan import CollectivePlan

    return CollectivePlan.load(path, changes)


def print_json(content: dict[str, Any]) -> None:
    """Print a result for programs."""
    click.echo(json.dumps(content, indent=2, allow_nan=False))


def check_picture(path: Path | None) -> None:
    """Refuse a picture format that nobody draws, before the work begins."""
    if path:
        from simulator.plot import check_format

        check_format(path)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into a usage error, and say what is done."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise click.UsageError(f"cannot write {path}: {reason}") from error
    click.echo(f"wrote {path}", err=True)
