"""Fitting what links give collectives to timings of collectives, others' or our own.

    python -m calibration.fitting.links deepbench-plx8

A file in `calibration/fits/links` is the profile that will be written, with first
guesses for numbers, and a table `[bounds]` of those that the fit may move: two bounds,
or the name of another constant to follow. Rows are those of one score file that are
marked as fitted on and name the profile. Least squares on log(predicted ÷ measured),
as in `calibration.fitting.profile`.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from calibration.score_files.files import read_score_file
from calibration.scoring.score import row_plan
from simulator.one_collective.plan import CollectivePlan
from simulator.one_collective.result import predict_collective
from simulator.plans.dumping import toml_key, toml_value
from topologies.profile import Profile
from topologies.profile_file import (
    LINK_OPTIONS,
    LINK_UNITS,
    PROFILES,
    named_profile,
    parse_profile,
)
from topologies.units import Seconds, format_quantity, parse_quantity

FOLDER = Path(__file__).parents[1] / "fits" / "links"
_SOURCES = ("published", "measured")
_LOSS_SCALE = 0.02  # unless the file says another: residuals beyond count linearly
_DIGITS = 4  # of a constant in a profile
_EXACT = 15  # of one on trial
_UNITS = {**LINK_UNITS, **LINK_OPTIONS}
Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LinkProblem:
    """A fit that is asked for.

    Fields:
        name: of the profile.
        table: the file, first guesses in it.
        plans, measured: rows [s].
    """

    name: str
    table: Mapping[str, Any]
    plans: tuple[CollectivePlan, ...]
    measured: Numbers

    @property
    def moved(self) -> dict[str, tuple[float, float]]:
        """Bounds by constant, in SI units."""
        return {
            name: (_number(name, given[0]), _number(name, given[1]))
            for name, given in self.table["bounds"].items()
            if not isinstance(given, str)
        }

    def filled(self, values: Sequence[float], digits: int = _EXACT) -> dict[str, Any]:
        """Return the table with values for the constants that move."""
        table = deepcopy(dict(self.table))
        chosen = dict(zip(self.moved, values, strict=True))
        for name, given in self.table["bounds"].items():
            value = chosen[given if isinstance(given, str) else name]
            *path, constant = _path(name)
            inner = table
            for part in path:
                inner = inner[part]
            inner[constant] = format_quantity(value, _UNITS[constant], digits)
        return table

    def profile(self, values: Sequence[float]) -> Profile:
        """Return the profile with these values."""
        return parse_profile(self.name, self.filled(values))

    def times(self, values: Sequence[float]) -> Numbers:
        """Return predicted times [s]."""
        profile = self.profile(values)
        return np.array([_time(plan, profile) for plan in self.plans])

    def residuals(self, logs: Numbers) -> Numbers:
        """Return the logs of predicted ÷ measured [1]."""
        return np.log(self.times(np.exp(logs).tolist()) / self.measured)


def read_problem(name: str) -> LinkProblem:
    """Return the fit that `calibration/fits/links/NAME.toml` asks for."""
    table = tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))
    plans, measured = [], []
    for source in table["on"].split(", "):
        file = read_score_file(_source(source))
        for row in file.rows:
            plan = row_plan(file, row)
            if row.is_fit and isinstance(plan, CollectivePlan) and _names(plan, name):
                plans.append(plan)
                measured.append(row.measured["collective_time_s"])
    return LinkProblem(name, table, tuple(plans), np.array(measured))


def _source(name: str) -> Path:
    """Return the score file of a name: others' measurements, or our own."""
    paths = [Path(__file__).parents[1] / folder / f"{name}.toml" for folder in _SOURCES]
    return next((path for path in paths if path.is_file()), paths[0])


def fit_links(problem: LinkProblem) -> list[float]:
    """Return the values of the constants that move, at which the rows fit best."""
    moved = problem.moved
    low, high = np.log(np.array(list(moved.values())).T)
    start = [_number(name, _first(problem.table, name)) for name in moved]

    found = least_squares(
        problem.residuals,
        np.clip(np.log(start), low, high),
        bounds=(low, high),
        loss="soft_l1",
        f_scale=problem.table.get("loss_scale", _LOSS_SCALE),
    )
    return [float(value) for value in np.exp(found.x)]


def profile_text(problem: LinkProblem, values: Sequence[float]) -> str:
    """Return the profile as TOML text."""
    table = problem.filled(values, _DIGITS)
    errors = np.abs(problem.times(values) / problem.measured - 1)
    lines = [
        f"# Written by `python -m calibration.fitting.links {problem.name}`;",
        f"# its bounds stand in calibration/fits/links/{problem.name}.toml.",
    ]
    lines += [
        f"{key} = {toml_value(value)}"
        for key, value in table.items()
        if not isinstance(value, Mapping) and key not in {"on", "loss_scale"}
    ]
    if "constants" in table:
        lines += _tables("constants", table["constants"])
    for link, constants in table["links"].items():
        lines += _tables(f"links.{link}", constants)
    lines += _tables("reasons", table["reasons"])
    record = {
        "rows": len(problem.plans),
        "on": table["on"],
        "fitted": list(problem.moved),
        "loss_scale": table.get("loss_scale", _LOSS_SCALE),
        "median_error": round(float(np.median(errors)), _DIGITS),
    }
    lines += _tables("fit", record)
    return "\n".join(lines) + "\n"


def _tables(name: str, content: Mapping[str, Any]) -> list[str]:
    """Return the lines of a TOML table, then of those in it."""
    lines = ["", f"[{name}]"]
    inner = {key: value for key, value in content.items() if isinstance(value, Mapping)}
    lines += [
        f"{toml_key(key)} = {toml_value(value)}"
        for key, value in content.items()
        if key not in inner
    ]
    for key, value in inner.items():
        lines += _tables(f"{name}.{key}", value)
    return lines


def _path(name: str) -> list[str]:
    """Return the keys of `links.LINK.CONSTANT` or `links.LINK.PROTOCOL.CONSTANT`."""
    return name.split(".")


def _first(table: Mapping[str, Any], name: str) -> str:
    value: Any = table
    for part in _path(name):
        value = value[part]
    return str(value)


def _number(name: str, text: str) -> float:
    return parse_quantity(text, _UNITS[_path(name)[-1]])


def _names(plan: CollectivePlan, profile: str) -> bool:
    own = plan.cluster.profile or plan.build_cluster().device.profile
    return own == profile


def _time(plan: CollectivePlan, profile: Profile) -> Seconds:
    return predict_collective(plan, profile).time_s


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the fits that the command line names, and write their profiles."""
    parser = argparse.ArgumentParser(prog="python -m calibration.fitting.links")
    known = sorted(path.stem for path in FOLDER.glob("*.toml"))
    parser.add_argument("names", nargs="+", choices=known, metavar="NAME")
    for name in parser.parse_args(arguments).names:
        problem = read_problem(name)
        text = profile_text(problem, fit_links(problem))
        (PROFILES / f"{name}.toml").write_text(text, "utf-8")
        named_profile.cache_clear()
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
