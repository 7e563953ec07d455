"""Measure a cable, plans drawn at random and predicted before, and orders of rings.

    python -m calibration.torch_engine.timed links
    python -m calibration.torch_engine.timed study --seed 1 --plans 40
    python -m calibration.torch_engine.timed orders

The first needs `python -m calibration.fit_links gloo-emulated` after it; `all` does
everything in this order.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from calibration import fit_links
from calibration.torch_engine.timed import orders, results, study, two_hosts
from simulator.errors import RehearsalError

_STUDY = "emulated-plans"
_PROFILE = "gloo-emulated"


def main(words: Sequence[str] | None = None) -> int:
    """Do what is asked and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m calibration.torch_engine.timed")
    verbs = parser.add_subparsers(dest="verb", required=True)
    links = verbs.add_parser("links", help="measure a cable between two hosts")
    links.add_argument("--repeats", type=int, default=9, help="of each case")
    random = verbs.add_parser("study", help="predict random plans, then run them")
    random.add_argument("--seed", type=int, default=1)
    random.add_argument("--plans", type=int, default=40)
    random.add_argument("--repeats", type=int, default=3, help="steps that count")
    random.add_argument("--predict", action="store_true", help="only predict")
    random.add_argument("--write", type=Path, default=None, help="file of all rows")
    order = verbs.add_parser("orders", help="run rings in right and wrong orders")
    order.add_argument("--repeats", type=int, default=5, help="steps that count")
    every = verbs.add_parser("all", help="links, their fit, the study and the orders")
    every.add_argument("--seed", type=int, default=1)
    every.add_argument("--plans", type=int, default=40)
    every.set_defaults(repeats=9, write=None, predict=False)
    given = parser.parse_args(words)
    try:
        _VERBS[given.verb](given)
    except RehearsalError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _links(given: argparse.Namespace) -> None:
    for row in two_hosts.write(given.repeats):
        _print(f"{row['id']:40} {row['time_s']}")


def _orders(given: argparse.Namespace) -> None:
    found = orders.measure(orders.CASES, given.repeats, _say_factor)
    results.write("ring-orders", orders.report(found))


def _say_factor(factor: orders.Factor) -> None:
    _print(
        f"{factor.case.name:42}{factor.predicted_factor:8.3f}"
        f"{factor.measured_factor:8.3f}"
    )


def _study(given: argparse.Namespace) -> None:
    rows = study.predicted_rows(given.seed, given.plans)
    results.write(_STUDY, study.report(rows, given.seed), given.write)
    if given.predict:
        for row in rows:
            _say_prediction(row)
        return
    for place, row in enumerate(rows):
        rows[place] = study.measured(row, given.repeats)
        _say(rows[place])
        # What is there is kept, however the study ends.
        results.write(_STUDY, study.report(rows, given.seed), given.write)
    errors = study.errors_of(rows)
    assert errors is not None, "all have run"
    contended = sum(row.is_contended for row in rows)
    between = sum(row.is_contended_between_ops for row in rows)
    _print(
        f"{errors.rows} plans, median error {errors.median:.1%}, "
        f"p90 {errors.p90:.1%}, bias {errors.bias:+.1%}, worst {errors.worst:+.1%} "
        f"({errors.worst_id}); {contended} contended, {between} between ops"
    )


def _say_prediction(row: study.Row) -> None:
    _print(
        f"{row.drawn.name:34}{row.predicted:8.3f}{row.alone:8.3f}{row.unshared:8.3f}"
    )


def _say(row: study.Row) -> None:
    done = row.measured
    assert done is not None, "it has run"
    is_equal = abs(done.wire_bytes - row.sent) <= 1e-4 * row.sent
    _print(
        f"{row.drawn.name:34}{row.predicted:8.3f}{done.step_time:8.3f}{row.error:+8.1%}"
        f"{done.cpu_share:7.0%}{done.load:6.1f}{'' if is_equal else ' OTHER BYTES'}"
    )


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _all(given: argparse.Namespace) -> None:
    _links(given)
    fit_links.main([_PROFILE])
    given.repeats = 3
    _study(given)
    given.repeats = 5
    _orders(given)


_VERBS = {"all": _all, "links": _links, "study": _study, "orders": _orders}

if __name__ == "__main__":
    sys.exit(main())
