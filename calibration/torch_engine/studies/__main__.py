"""Measure a cable, this machine, plans drawn at random, and orders of rings.

    python -m calibration.torch_engine.studies links
    python -m calibration.torch_engine.studies study --seed 1 --plans 40
    python -m calibration.torch_engine.studies real --seed 1 --plans 40
    python -m calibration.torch_engine.studies orders
    python -m calibration.torch_engine.studies capacity
    python -m calibration.torch_engine.studies again real

The first needs `python -m calibration.fitting.links gloo-emulated` after it; `all` does
everything in this order. A study keeps every row that has run; `--resume` goes on with
those that have not. `again` predicts the rows of a file anew, and runs nothing.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from calibration.fitting import links
from calibration.torch_engine.errors import RankError
from calibration.torch_engine.studies import (
    capacity,
    orders,
    real_plans,
    results,
    sending,
    timed_plans,
    two_hosts,
)
from calibration.torch_engine.studies.rows import (
    Row,
    contended,
    errors_of,
    finished,
    recorded,
)
from simulator.errors import RehearsalError

_LINKS = "gloo-emulated"
_INTERRUPTED = 130


def main(words: Sequence[str] | None = None) -> int:
    """Do what is asked and return the exit code."""
    parser = argparse.ArgumentParser(prog=results.PROGRAM)
    verbs = parser.add_subparsers(dest="verb", required=True)
    cable = verbs.add_parser("links", help="measure a cable between two hosts")
    cable.add_argument("--repeats", type=int, default=9, help="of each case")
    for name, what in (("study", "timed kernels"), ("real", "real kernels")):
        _add_study(verbs.add_parser(name, help=f"predict random plans, run {what}"))
    order = verbs.add_parser("orders", help="run rings in right and wrong orders")
    order.add_argument("--repeats", type=int, default=5, help="steps that count")
    verbs.add_parser("capacity", help="measure what this machine forwards in all")
    again = verbs.add_parser("again", help="predict the rows that have run anew")
    again.add_argument("which", choices=tuple(_KINDS))
    again.add_argument("--file", type=Path, default=None, help="of the rows")
    again.add_argument("--update", action="store_true", help="and write it anew")
    every = verbs.add_parser("all", help="all of it")
    _add_study(every)
    given = parser.parse_args(words)
    try:
        _VERBS[given.verb](given)
    except RehearsalError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; rows that have run are kept, see --resume\n")
        return _INTERRUPTED
    return 0


def _add_study(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plans", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3, help="steps that count")
    parser.add_argument("--predict", action="store_true", help="only predict")
    parser.add_argument("--resume", action="store_true", help="keep rows that ran")
    parser.add_argument("--write", type=Path, default=None, help="file of all rows")


def _links(given: argparse.Namespace) -> None:
    for row in two_hosts.write(given.repeats):
        _print(f"{row['id']:40} {row['time_s']}")
    spent = []
    for each in sending.measure():
        spent.append(each)
        _print(f"{each.pattern}-{each.size}-{each.rate}: {each.cores:.3f} s of cores")
    results.write(sending.NAME, sending.report(spent))


def _orders(given: argparse.Namespace) -> None:
    found = orders.measure(orders.CASES, given.repeats, _say_factor)
    results.write("ring-orders", orders.report(found))


def _say_factor(factor: orders.Factor) -> None:
    _print(
        f"{factor.case.name:42}{factor.predicted_factor:8.3f}"
        f"{factor.measured_factor:8.3f}"
    )


def _capacity(_: argparse.Namespace) -> None:
    points = []
    for point in capacity.measure():
        points.append(point)
        _print(f"{point.hosts:3} hosts at {point.rate} Mbit/s {point.reached:8.1%}")
    results.write("emulated-capacity", capacity.report(points))


def _timed(given: argparse.Namespace) -> None:
    _study(timed_plans, given)


def _real(given: argparse.Namespace) -> None:
    if not (given.resume or given.predict):
        real_plans.profile()
    _study(real_plans, given)


def _again(given: argparse.Namespace) -> None:
    """Predict rows that have run anew; errors of both halves, and of all."""
    kind = _KINDS[given.which]
    path = given.file or results.FOLDER / f"{kind.NAME}.toml"
    rows = [
        replace(kind.predicted(row.drawn), seen=row.seen)
        for row in recorded(path, kind.FIGURES)
    ]
    if given.update:
        seed = tomllib.loads(path.read_text("utf-8"))["seed"]
        later = "# These predictions are later than the runs: `again` made them."
        results.write(path, [later, *kind.report(rows, seed)])
    for row in rows:
        _print(f"{row.drawn.name:44}{row.predicted:8.3f}{row.error:+8.1%}")
    for name, some in (("even", rows[::2]), ("odd", rows[1::2]), ("all", rows)):
        errors = errors_of(some)
        if errors is not None:
            _print(
                f"{name:5}{errors.rows:3} plans, median error {errors.median:.1%}, "
                f"p90 {errors.p90:.1%}, bias {errors.bias:+.1%}"
            )


def _study(kind: ModuleType, given: argparse.Namespace) -> None:
    """Predict all plans of a study, then run those that have not run."""
    path = given.write or results.FOLDER / f"{kind.NAME}.toml"
    rows: list[Row] = kind.predicted_rows(given.seed, given.plans)
    if given.predict:
        for row in rows:
            _print(f"{row.drawn.name:44}{_figures(row)}")
        return
    if given.resume:
        rows = finished(rows, path, kind.FIGURES)
    for place, row in enumerate(rows):
        # What is there is kept, however the study ends.
        results.write(path, kind.report(rows, given.seed))
        if row.seen is None:
            rows[place] = _measured(kind, row, given.repeats)
    results.write(path, kind.report(rows, given.seed))
    _say_errors(rows)


def _measured(kind: ModuleType, row: Row, repeats: int) -> Row:
    """Run one plan; one that fails is said, and stays in the file for --resume."""
    try:
        done: Row = kind.measured(row, repeats)
    except RankError as error:
        _print(f"{row.drawn.name:44} FAILED: {error}")
        return row
    _say(done, is_as_predicted=kind.is_as_predicted(done))
    return done


def _figures(row: Row) -> str:
    figures = [row.predicted, *row.others.values()]
    return "".join(f"{each:10.3f}" for each in figures)


def _say(row: Row, *, is_as_predicted: bool) -> None:
    done = row.seen
    assert done is not None, "it has run"
    _print(
        f"{row.drawn.name:44}{row.predicted:8.3f}{done.time:8.3f}{row.error:+8.1%}"
        f"{done.others['load']:6.1f}{'' if is_as_predicted else ' OTHER BYTES'}"
    )


def _say_errors(rows: Sequence[Row]) -> None:
    errors, counted = errors_of(rows), contended(rows)
    if errors is None:
        return
    if left := sum(row.seen is None for row in rows):
        _print(f"{left} plans have not run to their end; see --resume")
    _print(
        f"{errors.rows} plans, median error {errors.median:.1%}, "
        f"p90 {errors.p90:.1%}, bias {errors.bias:+.1%}, worst {errors.worst:+.1%} "
        f"({errors.worst_id}); {counted['contended']} contended, "
        f"{counted['contended_between_ops']} between ops"
    )


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _all(given: argparse.Namespace) -> None:
    given.repeats = 9
    _links(given)
    links.main([_LINKS])
    given.repeats = 3
    _timed(given)
    _real(given)
    given.repeats = 5
    _orders(given)
    _capacity(given)


_KINDS = {"study": timed_plans, "real": real_plans}

_VERBS = {
    "again": _again,
    "all": _all,
    "links": _links,
    "study": _timed,
    "real": _real,
    "orders": _orders,
    "capacity": _capacity,
}

if __name__ == "__main__":
    sys.exit(main())
