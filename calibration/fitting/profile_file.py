"""The command of `profile.py`, and the profile file that it writes."""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version

import numpy as np

from calibration.fitting.declaration import Declaration, declared_names
from calibration.fitting.profile import Fit, fit_named
from calibration.fitting.repricing import unit_of
from simulator.errors import RehearsalError
from simulator.plans.dumping import toml_key, toml_value
from topologies.profile_file import PROFILES, parse_profile
from topologies.units import format_quantity

_DIGITS = 4


def run(arguments: Sequence[str]) -> int:
    """Fit, say how well, and write the profile; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m calibration.fitting.profile",
        description="Fit a profile's constants to published step times.",
    )
    parser.add_argument("name", help=f"a declared fit: {', '.join(declared_names())}")
    parser.add_argument("--output", type=Path, help="instead of topologies/profiles")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the profile, write nothing"
    )
    options = parser.parse_args(arguments)
    try:
        fitted = fit_named(options.name)
    except RehearsalError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    text = profile_text(fitted, datetime.now(tz=UTC).date().isoformat())
    sys.stderr.write(summary(fitted))
    if options.dry_run:
        sys.stdout.write(text)
        return 0
    path = options.output or PROFILES / f"{fitted.declaration.profile}.toml"
    path.write_text(text, encoding="utf-8")
    sys.stderr.write(f"wrote {path}\n")
    return 0


def summary(fitted: Fit) -> str:
    """Return how well the constants suit the rows, for the terminal."""
    lines = []
    for number, path in enumerate(fitted.declaration.on):
        member = fitted.rows.groups == number
        errors = fitted.errors[member]
        held = 1 / (1 + fitted.held_out[member]) - 1
        lines.append(
            f"{path.name}: {member.sum()} rows, MAPE {_percent(np.abs(errors).mean())}"
            f", bias {_percent(errors.mean())}"
            f"; held out: MAPE {_percent(np.abs(held).mean())}"
        )
    for name, value in fitted.values.items():
        error = fitted.standard_errors[name]
        spread = "at its bound" if error is None else f"+- {_percent(error)}"
        lines.append(f"{name} = {written(name, value)} ({spread})")
    low, high = fitted.interval()
    lines.append(
        f"measured / predicted - 1, held out: {_percent(low)} to {_percent(high)}"
        f"; loss {fitted.solution.cost:.2f} after {fitted.solution.evaluations} runs"
    )
    return "\n".join(lines) + "\n"


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def written(name: str, value: float) -> str:
    """Return a constant as the profile says it, in four digits."""
    return format_quantity(value, unit_of(name), _DIGITS)


def profile_text(fitted: Fit, date: str) -> str:
    """Return the profile as TOML text.

    Args:
        fitted: constants and how they were found.
        date: of the fit, as 2026-11-21.
    """
    declaration = fitted.declaration
    texts = _constant_texts(fitted)
    rows, count = len(fitted.rows.ids), len(fitted.values)
    low, high = fitted.interval()
    fold_rows = f"{declaration.folds}-fold cross-validation within the {rows} rows"
    basis = (
        f"{count} constants fitted on {rows} rows of {_sources(declaration)};"
        f" interval from {fold_rows}"
    )
    tables = declaration.nested(texts)
    lines = [
        f"# Written by `python -m calibration.fitting.profile {declaration.profile}`;",
        f"# its bounds stand in calibration/fits/{declaration.profile}.toml.",
        f"title = {toml_value(declaration.title)}",
        f"basis = {toml_value(basis)}",
        f"algorithms = {toml_value(declaration.algorithms)}",
        *_table("constants", tables["constants"]),
    ]
    for link, values in tables["links"].items():
        lines += _table(f"links.{link}", values)
    families = {one.job.model.family for one in fitted.rows.structures}
    error = {
        "families": sorted(families),
        "low": round(low, _DIGITS),
        "high": round(high, _DIGITS),
        "source": "measured / predicted - 1, 5 % and 95 % quantiles"
        f" (split conformal), {fold_rows}",
    }
    lines += _table("error", error)
    lines += _table("reasons", declaration.reasons())
    lines += _table("standard_errors_of_logs", _deviations(fitted))
    free = [name for name in fitted.values if name not in fitted.at_bound]
    lines += _table("covariance_of_logs", {"names": free})
    lines.append("rows = [")
    lines += [
        f"  [{', '.join(f'{value:.3e}' for value in row)}],"
        for row in fitted.covariance.tolist()
    ]
    lines.append("]")
    record = {
        "date": date,
        "rows": rows,
        "on": [
            f"{path.name}: {(fitted.rows.groups == number).sum()} rows"
            for number, path in enumerate(declaration.on)
        ],
        "loss": "soft_l1 on log(predicted / measured), equal total weight a file",
        "loss_scale": declaration.loss_scale,
        "cost": round(fitted.solution.cost, 3),
        "at_bound": list(fitted.at_bound),
        "engine": "analytical",
        "versions": _versions(),
    }
    lines += _table("fit", record)
    text = "\n".join(lines) + "\n"
    parse_profile(declaration.profile, tomllib.loads(text))  # or it is no profile
    return text


def _constant_texts(fitted: Fit) -> dict[str, str]:
    """Return every constant as text, in the order in which profiles list them."""
    texts = {fixed.name: fixed.text for fixed in fitted.declaration.fixed}
    texts |= {name: written(name, value) for name, value in fitted.values.items()}
    texts |= {name: texts[other] for name, other in fitted.declaration.same.items()}
    order = fitted.declaration.names()
    return {name: texts[name] for name in order}


def _deviations(fitted: Fit) -> dict[str, str | float]:
    return {
        name: "at its bound" if error is None else round(error, _DIGITS)
        for name, error in fitted.standard_errors.items()
    }


def _sources(declaration: Declaration) -> str:
    names = [path.stem for path in declaration.on]
    return " and ".join(names)


def _versions() -> str:
    try:
        own = version("rehearsal")
    except PackageNotFoundError:
        own = "unknown"
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy"))
    return f"rehearsal {own}, {packages}, python {python_version()}"


def _table(name: str, values: Mapping[str, object]) -> list[str]:
    """Return the lines of a TOML table, an empty one before it."""
    lines = ["", f"[{name}]"]
    for key, value in values.items():
        lines.append(f"{toml_key(key)} = {toml_value(value)}")
    return lines
