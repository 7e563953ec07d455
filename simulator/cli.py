# ruff: noqa: PLC0415 - bodies import what they need when they run
"""The command line: `simulate PLAN.toml`, and the verbs beside it.

stdout is the result, stderr is what is said about it. Exit codes: 0 success;
1 internal error; 2 usage or plan; 3 infeasible; 4 expectation failed; 5 something
optional is missing; 130 interrupted.

Every body imports what it needs when it runs, so that `--help` stays instant.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
from typing_extensions import override

from simulator.errors import ExpectationFailed, Fault, PlanError, RehearsalError

if TYPE_CHECKING:
    from simulator.plan import Plan
    from simulator.result import Engine

_DEFAULT = "predict"
_NOT_BUILT = ("search", "compare", "run", "validate", "calibrate")
# Words for a command that people use elsewhere.
_SYNONYMS = {"sweep": "scale", "lint": "check", "simulate": "predict", "show": "list"}
_KINDS = ("models", "devices", "links", "topologies", "schemes", "profiles")
_Function = TypeVar("_Function", bound=Callable[..., Any])


class PlanFirst(click.Group):
    """A group whose command is `predict` where a plan file stands in its place."""

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert `predict` before a plan file or one of its options."""
        own = {name for p in self.get_params(ctx) for name in p.opts}
        if args and args[0] not in self.commands and args[0] not in own:
            if args[0].startswith("-") or _is_file_name(args[0]):
                args.insert(0, _DEFAULT)
            else:
                self.fail_on(ctx, args[0])
        return super().parse_args(ctx, args)

    def fail_on(self, ctx: click.Context, word: str) -> NoReturn:
        """Say what `word` could have been."""
        if word in _NOT_BUILT:
            built = ", ".join(sorted(self.commands))
            ctx.fail(f"'{word}' is not built yet; built are: {built}")
        known = {**{name: name for name in self.commands}, **_SYNONYMS}
        near = get_close_matches(word, known, n=1)
        guess = f"; did you mean '{known[near[0]]}'?" if near else ""
        ctx.fail(f"'{word}' is neither a plan file nor a command{guess}")

    @override
    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the two ways to call."""
        formatter.write_usage(ctx.command_path, "PLAN.toml [OPTIONS]")
        formatter.write_usage(ctx.command_path, "COMMAND [ARGS]...", prefix="       ")


def _is_file_name(word: str) -> bool:
    return word.endswith(".toml") or os.sep in word or Path(word).exists()


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from simulator.version import VERSION

        click.echo(f"simulate {VERSION}")
        ctx.exit()


@click.group(cls=PlanFirst, context_settings={"help_option_names": ["-h", "--help"]})
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


def _plan_options(function: _Function) -> _Function:
    """Add the argument and options of every command that predicts a plan."""
    for option in (
        click.option("--debug", is_flag=True, help="Show tracebacks."),
        click.option(
            "--engine",
            type=click.Choice(["analytical", "event"]),
            default="event",
            show_default=True,
            help="What turns operations into times.",
        ),
        _set_option,
        click.argument("plan", metavar="PLAN.toml"),
    ):
        function = option(function)
    return function


_set_option = click.option(
    "--set",
    "changes",
    metavar="KEY=VALUE",
    multiple=True,
    help="Replace a value of the plan, as in parallelism.tensor=4; KEY= removes it.",
)
_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object."
)
_FILE = click.Path(dir_okay=False, path_type=Path)


@cli.command(name=_DEFAULT)
@_plan_options
@_json_option
@click.option("--trace", type=_FILE, help="Write a timeline for Perfetto.")
@click.option("--plot", type=_FILE, help="Draw where the step time goes.")
@click.option("--explain", is_flag=True, help="Add the critical path, priced.")
@click.option("--sources", is_flag=True, help="Add where the numbers come from.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of all noise.")
@click.option("--replicas", type=click.IntRange(min=1), help="Repeat with new noise.")
@click.option("--unfolded", is_flag=True, hidden=True, help="Simulate every rank.")
def predict(  # noqa: PLR0913, PLR0917 - one parameter an option
    plan: str,
    changes: Sequence[str],
    engine: Engine,
    debug: bool,
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
    del debug
    loaded = _load(plan, changes)
    if replicas is not None and replicas > 1:
        raise click.UsageError("--replicas is not built yet: nothing is random so far")
    from simulator.api import simulate

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
        _print_json({**values, **texts})
    else:
        from simulator.report import text_report

        click.echo("\n\n".join([text_report(result), *texts.values()]))
    if trace:
        from simulator.trace import write_trace

        with _writing(trace):
            write_trace(result, trace)
    if plot:
        from simulator.plot import plot_breakdown

        with _writing(plot):
            plot_breakdown(result, plot)
    _judge(loaded, values)


def _judge(plan: Plan, values: dict[str, Any]) -> None:
    """End with the exit code that the prediction calls for."""
    from simulator.errors import Infeasible
    from simulator.plans.expectations import failures

    if values["status"] != "completed":
        reason = str(values["status"]).replace("_", " ")
        raise Infeasible(f"the plan is valid, but infeasible: {reason}")
    if failed := failures(plan.expect, values):
        raise ExpectationFailed("\n".join(failed))


@cli.command()
@click.argument("plans", metavar="PLAN.toml...", nargs=-1, required=True)
@_set_option
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def check(
    ctx: click.Context, plans: Sequence[str], changes: Sequence[str], debug: bool
) -> None:
    """Check plans for faults, without predicting anything."""
    del debug
    faulty = 0
    for path in plans:
        try:
            plan = _load(path, changes)
        except PlanError as error:
            click.echo(str(error), err=True)
            faulty += 1
        else:
            where = f"{plan.world_size} x {plan.cluster.device}"
            click.echo(f"{path}: no faults; {plan.build_model().name} on {where}")
    if faulty:
        ctx.exit(PlanError.exit_code)


@cli.command()
def schema() -> None:
    """Print the JSON Schema of a plan, for editors."""
    from simulator.schema import json_schema

    _print_json(json_schema())


@cli.command()
@_plan_options
@_json_option
@click.option(
    "--over",
    metavar="KEY=V1,V2,...",
    multiple=True,
    required=True,
    help="Values to try; several --over are combined.",
)
@click.option("--weak", is_flag=True, help="Let the batch grow with the devices.")
@click.option("--csv", type=_FILE, help="Write the table as CSV.")
@click.option("--plot", type=_FILE, help="Draw the curve.")
def scale(  # noqa: PLR0913, PLR0917 - one parameter an option
    plan: str,
    changes: Sequence[str],
    engine: Engine,
    debug: bool,
    as_json: bool,
    over: Sequence[str],
    weak: bool,
    csv: Path | None,
    plot: Path | None,
) -> None:
    """Predict a plan over a range of values: the scaling curve."""
    del debug
    values, loaded = _ranges(over), _load(plan, changes)
    _check_plot(plot)
    from simulator.scaling import scale as scaled

    further: dict[str, Any] = {"weak": True} if weak else {}
    scaling = scaled(loaded, values, engine, **further)
    if as_json:
        _print_json(scaling.to_json())
    else:
        click.echo(scaling.text())
    if csv:
        with _writing(csv):
            csv.write_text(scaling.to_csv(), encoding="utf-8")
    if plot:
        with _writing(plot):
            scaling.plot(plot)
    if scaling.is_interrupted:
        raise KeyboardInterrupt
    if not any(point.is_feasible for point in scaling.points):
        from simulator.errors import Infeasible

        raise Infeasible("no point of the table can run")


def _check_plot(plot: Path | None) -> None:
    """Refuse a picture format that nobody draws, before the work begins."""
    if plot:
        from simulator.plot import check_format

        check_format(plot)


def _ranges(over: Sequence[str]) -> dict[str, list[Any]]:
    """Return the values of each `--over KEY=V1,V2`, by key."""
    from simulator.plans.messages import choices
    from simulator.plans.reading import parse_value
    from simulator.plans.records import plan_keys

    found: dict[str, list[Any]] = {}
    faults = []
    for text in over:
        key, _, values = text.partition("=")
        given = f"--over {text}"
        if key not in plan_keys():
            remedy = choices(key, plan_keys(), "`simulate schema`")
            faults.append(Fault(key, f"unknown key '{key}'", remedy, given=given))
        elif key in found:
            faults.append(Fault(key, "is given twice", given=given))
        elif not all(value.strip() for value in values.split(",")):
            remedy = f"write --over {key}=V1,V2"
            faults.append(Fault(key, "has no values", remedy, given=given))
        found[key] = [parse_value(value.strip()) for value in values.split(",")]
    if faults:
        raise PlanError(faults, "the command line")
    return found


@cli.command()
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@_json_option
@click.option("--rows", is_flag=True, help="List every row, not only the summary.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def score(files: Sequence[Path], as_json: bool, rows: bool, debug: bool) -> None:
    """Compare predictions with published measurements."""
    del debug
    from importlib import import_module  # imports run one way: loaded by name

    report = import_module("calibration.score").score_files(files, rows=rows)
    if as_json:
        _print_json(report.to_json())
    else:
        click.echo(report.text())
    if report.is_interrupted:
        raise KeyboardInterrupt


@cli.command(name="list")
@click.argument("kind", type=click.Choice(_KINDS))
@_json_option
def list_(kind: str, as_json: bool) -> None:
    """List what a plan may name."""
    from simulator.plans.listing import rows_of, table

    rows = rows_of(kind)
    if as_json:
        _print_json({"kind": kind, kind: rows})
    else:
        click.echo(table(rows, without={"source"}))


def _load(path: str, changes: Sequence[str]) -> Plan:
    from simulator.plan import Plan

    return Plan.load(path, changes)


def _print_json(content: dict[str, Any]) -> None:
    click.echo(json.dumps(content, indent=2, allow_nan=False))


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into a usage error, and say what is done."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise click.UsageError(f"cannot write {path}: {reason}") from error
    click.echo(f"wrote {path}", err=True)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Pydantic would look through every installed package for plugins: 20 ms.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    # Hundreds of thousands of ops, none of them garbage, are not worth looking through.
    gc.set_threshold(200_000, 50, 50)
    code = _run(words)
    try:
        sys.stdout.flush()
    except OSError:
        # Said already; python would say it again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _run(words: Sequence[str]) -> int:
    try:
        code = cli.main(args=words, prog_name="simulate", standalone_mode=False)
    except SystemExit:
        return 0  # click's answer to a pipe whose reader has left
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
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
    from simulator.version import VERSION

    command = " ".join(["simulate", *words])
    click.echo(
        f"internal error: {type(error).__name__}: {error}\n"
        f"Please report it with this command and version: {command} "
        f"({VERSION}); --debug shows the traceback",
        err=True,
    )
    return RehearsalError.exit_code
