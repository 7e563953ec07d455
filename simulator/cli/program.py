"""The program: its commands, and what becomes of an error."""

# ruff: noqa: PLC0415 - bodies import what they need when they run

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from simulator.cli import INTERRUPTED
from simulator.cli.calibrate import calibrate
from simulator.cli.catalogue import check, list_, schema
from simulator.cli.group import PlanFirst
from simulator.cli.predict import predict
from simulator.cli.real import run, validate
from simulator.cli.scale import scale
from simulator.cli.score import score
from simulator.errors import RehearsalError


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from simulator.version import VERSION

        click.echo(f"simulate {VERSION}")
        ctx.exit()


@click.group(
    cls=PlanFirst,
    commands=[
        predict,
        check,
        schema,
        scale,
        score,
        run,
        validate,
        calibrate,
        list_,
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Predict what a distributed training plan costs on a cluster.

    `simulate PLAN.toml` predicts one plan; `simulate predict --help` lists its
    options.
    """


def run_program(arguments: Sequence[str]) -> NoReturn:
    """Run the command line and exit with its code."""
    words = list(arguments)
    # Pydantic would look through every installed package for plugins: 20 ms.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    # Hundreds of thousands of ops, none of them garbage, are not worth looking through.
    gc.set_threshold(200_000, 50, 50)
    code = _run(words)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # a shell may have closed it
                stream.flush()
        except OSError:
            # Said already; python would say it again when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def _run(words: Sequence[str]) -> int:
    try:
        code = cli.main(args=words, prog_name="simulate", standalone_mode=False)
    except SystemExit:
        return 0  # click's answer to a pipe whose reader has left
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last resort of a program
        if "--debug" in words:
            from traceback import print_exc

            print_exc()
        return _explained(error, words)
    return code if isinstance(code, int) else 0


def _explained(error: Exception, words: Sequence[str]) -> int:
    """Say on stderr what went wrong, and return the exit code."""
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, RehearsalError):
        click.echo(str(error), err=True)
        return error.exit_code
    if isinstance(error, OSError):
        click.echo(f"cannot write the result: {error.strerror}", err=True)
        return RehearsalError.exit_code
    from simulator.version import VERSION

    command = " ".join(["simulate", *words])
    click.echo(
        f"internal error: {type(error).__name__}: {error}\n"
        f"Please report it with this command and version: {command} "
        f"({VERSION}); --debug shows the traceback",
        err=True,
    )
    return RehearsalError.exit_code
