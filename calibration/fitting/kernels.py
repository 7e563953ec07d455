"""Fitting what a device gives single kernels to published timings of kernels.

    python -m calibration.fitting.kernels b200

A file in `calibration/fits/kernels` names a device, a table of kernels beside the score
files, and the constants of a profile that the kernels show, with bounds. Least squares
on log(predicted ÷ measured) over every n-th row of a kind, as in `profile.py`; the
other rows are reported apart. The values go to `[constants]` of the profile's file in
`calibration/fits/links` by hand, where a test compares them.

What single kernels do not show, such as how much longer they take within a step, is
fitted on the steps that a file names under `[steps]`, with the others as they are
(`steps.py`); how far each constant moves if a row is left out is printed beside it.

Limits: a call from Python takes longer than a short kernel, so that rows below the
shortest time are neither fitted nor reported.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from calibration.fitting.steps import fit_steps, left_out, step_rows
from calibration.scoring.statistics import Errors, summarize
from models.flash_attention import FlashAttention
from models.work import Share, Work, matrix_work
from simulator.mesh import Degrees
from simulator.pricing.pricer import Pricer
from topologies.catalogue import device, link
from topologies.hardware import Cluster
from topologies.profile import Profile
from topologies.profile_file import load_profile
from topologies.units import Flop, Seconds, parse_quantity

FOLDER = Path(__file__).parents[1] / "fits" / "kernels"
PUBLISHED = Path(__file__).parents[1] / "published"
_LOSS_SCALE = 0.02  # residuals beyond count linearly
_ELEMENT = 2.0
_SUM_BYTES = {"": 0.0, "bf16": 2.0, "fp32": 6.0}
"""More than a fresh 16-bit output, by the format of a sum read and written [B]."""
_BACKWARD_FLOP = 2.5
"""Of an attention's backward over its forward, by the convention of the tables."""
Numbers = NDArray[np.float64]


class Timed(NamedTuple):
    """One measured kernel.

    Fields:
        id: of the row.
        kind: product, grouped product or attention.
        is_fit: whether constants are fitted on it.
        work: what it does.
        time: measured [s].
    """

    id: str
    kind: str
    is_fit: bool
    work: Work
    time: Seconds


@dataclass(frozen=True, slots=True, eq=False)
class KernelProblem:
    """A fit that is asked for.

    Fields:
        table: the declaration.
        profile: whose constants are replaced.
        kernels: measured.
    """

    table: Mapping[str, Any]
    profile: Profile
    kernels: tuple[Timed, ...]

    def constants(self, kind: str) -> list[str]:
        """Return the names of the constants that kernels of a kind show."""
        fitted = self.table["fitted"]
        return [name for name, given in fitted.items() if given["on"] == kind]

    def with_constants(self, values: Mapping[str, float]) -> Profile:
        """Return the profile with these constants."""
        return replace(self.profile, **values)  # type: ignore[arg-type]  # floats

    def times(self, kernels: Sequence[Timed], values: Mapping[str, float]) -> Numbers:
        """Return the predicted times of kernels under these constants [s]."""
        profile = replace(self.with_constants(values), in_step=1.0)
        pricer = _pricer(self.table, profile)
        return np.array([float(pricer.kernel_time(each.work)) for each in kernels])

    def fit(self, kind: str) -> dict[str, float]:
        """Return the constants that suit the fitted rows of a kind best."""
        names = self.constants(kind)
        rows = [each for each in self.kernels if each.kind == kind and each.is_fit]
        measured = np.array([each.time for each in rows])
        start, low, high = (
            np.log([float(self.table["fitted"][name][key]) for name in names])
            for key in ("start", "low", "high")
        )

        found = least_squares(
            lambda logs: np.log(
                self.times(rows, dict(zip(names, np.exp(logs), strict=True))) / measured
            ),
            start,
            bounds=(low, high),
            loss="soft_l1",
            f_scale=_LOSS_SCALE,
        )
        return dict(zip(names, map(float, np.exp(found.x)), strict=True))

    def errors(self, values: Mapping[str, float]) -> dict[tuple[str, bool], Errors]:
        """Return the errors by kind, and by whether rows were fitted on."""
        times = self.times(self.kernels, values)
        groups: dict[tuple[str, bool], list[tuple[str, float]]] = {}
        for each, time in zip(self.kernels, times, strict=True):
            group = groups.setdefault((each.kind, each.is_fit), [])
            group.append((each.id, float(time) / each.time - 1))
        summaries = ((key, summarize(group)) for key, group in groups.items())
        return {key: summary for key, summary in summaries if summary}


def read_kernels(name: str) -> KernelProblem:
    """Return the fit that `calibration/fits/kernels/NAME.toml` asks for."""
    table = tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))
    kernels = tuple(_kernels(table)) if "table" in table else ()
    return KernelProblem(table, load_profile(table["profile"]), kernels)


def fit_all(problem: KernelProblem) -> dict[str, float]:
    """Return all constants of a problem, each kind of kernels by itself."""
    kinds = dict.fromkeys(
        given["on"] for given in problem.table.get("fitted", {}).values()
    )
    values: dict[str, float] = {}
    for kind in kinds:
        values |= problem.fit(kind)
    if "steps" in problem.table:
        asked = problem.table["steps"]
        profile = problem.with_constants(values)
        values |= fit_steps(asked, profile, step_rows(asked, profile))
    return values


def _kernels(table: Mapping[str, Any]) -> Iterator[Timed]:
    """Yield the kernels of a problem's table that are not too short."""
    shortest = parse_quantity(table["shortest"], "s")
    lines = (PUBLISHED / table["table"]).read_text("utf-8").splitlines()
    fitted = {given["on"] for given in table["fitted"].values()}
    seen: dict[str, int] = {}
    for row in csv.DictReader(line for line in lines if not line.startswith("#")):
        work, flop = _attention(row) if row["kind"] == "attention" else _product(row)
        time = flop / parse_quantity(f"{row['tflops']} TFLOP/s", "FLOP/s")
        if time < shortest:
            continue
        kind = row["kind"]
        seen[kind] = seen.get(kind, -1) + 1
        is_fit = kind in fitted and seen[kind] % table["fit_every"] == 0
        yield Timed(row["id"], kind, is_fit, work, time)


def _product(row: Mapping[str, str]) -> tuple[Work, Flop]:
    rows, columns, inner, batch = (
        float(row[key]) for key in ("rows", "columns", "inner", "batch")
    )
    work = matrix_work(
        row["id"],
        rows=rows,
        columns=columns,
        inner=inner,
        batch=batch,
        element=_ELEMENT,
    )
    if row["kind"] == "grouped":
        work = replace(work, kind="grouped")
    more = _SUM_BYTES[row["sum"]] * batch * rows * columns
    return replace(work, size=work.size + more), work.flop


def _attention(row: Mapping[str, str]) -> tuple[Work, Flop]:
    heads, tokens, width, value_width, kv_heads = (
        int(row[key])
        for key in ("heads", "tokens", "key_width", "value_width", "kv_heads")
    )
    causal = row.get("causal", "true") == "true"
    kernel = FlashAttention(
        row["id"], heads, tokens, width, causal, value_width, kv_heads
    )
    share = Share(float(row["batch"]))
    full = 2.0 * share.samples * heads * tokens * tokens * (width + value_width)
    if row["direction"] == "forward":
        return kernel.forward(share)[0], full
    return kernel.backward_input(share)[0], _BACKWARD_FLOP * full


def _pricer(table: Mapping[str, Any], profile: Profile) -> Pricer:
    """Return what prices kernels on one device of its own."""
    board = device(table["device"])
    fabric = link(board.fabric)
    alone = Cluster(
        device=board,
        num_nodes=1,
        devices_per_node=1,
        fabric=fabric,
        network=fabric,
        adapters_per_node=1,
    )
    degrees = Degrees(tensor=1, data=1, pipeline=1)
    return Pricer(alone, profile, board.peak[table["precision"]], degrees, "ring")


def _ranges(problem: KernelProblem, values: Mapping[str, float]) -> dict[str, str]:
    """Return what to say beside constants that were fitted on steps."""
    if "steps" not in problem.table:
        return {}
    asked, profile = problem.table["steps"], problem.with_constants(values)
    found = left_out(asked, profile, step_rows(asked, profile))
    return {
        name: f"  # {low:.4f} to {high:.4f} with any one row left out"
        for name, (low, high) in found.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the fit that the command line names, and print values and errors."""
    parser = argparse.ArgumentParser(prog="python -m calibration.fitting.kernels")
    known = sorted(path.stem for path in FOLDER.glob("*.toml"))
    parser.add_argument("name", choices=known, metavar="NAME")
    problem = read_kernels(parser.parse_args(arguments).name)
    values = fit_all(problem)
    ranges = _ranges(problem, values)
    lines = [
        f'{constant} = "{value:.4f}"{ranges.get(constant, "")}'
        for constant, value in values.items()
    ]
    errors_of = problem.errors(values) if problem.kernels else {}
    for (kind, is_fit), errors in errors_of.items():
        lines.append(
            f"{kind}, {'fitted on' if is_fit else 'outside the fit'}: {errors.rows}"
            f" rows, MAPE {errors.mape:.1%}, bias {errors.bias:+.1%}"
        )
    print("\n".join(lines))  # noqa: T201 - what it is for
    return 0


if __name__ == "__main__":
    sys.exit(main())
