"""Whole training steps, predicted from measured kernels alone, beside measured ones.

    python -m calibration.machine.study PROFILE.toml RESULTS.toml

times the steps of many small plans in the conditions of `simulate calibrate`, and
predicts them twice, neither time with anything fitted to a step: from PROFILE.toml,
whose kernels were timed in other networks and at other sizes; and from a profile of the
plans' own operators, each timed by itself just before.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from calibration.machine.clock import Clock
from calibration.machine.steps import Step, measured_step
from calibration.machine.studied import STUDIES
from calibration.machine.sweep import Say, Sweep, to_stderr
from calibration.quiet import conditions, quieten
from simulator.api import simulate
from simulator.job import prepare
from simulator.plan import Plan
from simulator.plans.dumping import to_toml
from topologies.units import Ratio, Seconds, format_quantity

_ROUNDS = 1  # of operators and steps, in turn; the mean counts


class Row(NamedTuple):
    """One plan.

    Fields:
        name: of the network.
        samples: of the batch [1].
        general: predicted from kernels of other networks [s].
        own: predicted from the plan's own operators, timed one by one [s].
        step: as measured.
    """

    name: str
    samples: int
    general: Seconds
    own: Seconds
    step: Step

    @property
    def errors(self) -> tuple[Ratio, Ratio]:
        """Return predicted / measured - 1 of both predictions."""
        return self.general / self.step.time - 1, self.own / self.step.time - 1


def plan_of(
    model: Mapping[str, Any], samples: int, profile: Path, **training: Any
) -> Plan:
    """Return the plan of one device, that of a profile."""
    return Plan.from_mapping(
        {
            "model": dict(model),
            "batch": {"global": samples, "micro": samples},
            "training": {"precision": "fp32", "optimizer": "adam", **training},
            "cluster": {"device": str(profile.absolute())},
        }
    )


class Study:
    """A study under way: operators and steps are timed in turn, under one load."""

    def __init__(
        self, profile: Path, *, device: str = "cpu", say: Say = to_stderr
    ) -> None:
        self.profile, self.device = profile, device
        self.sweep = Sweep(clock=Clock(device), say=say)

    def row(self, model: Mapping[str, Any], samples: int) -> Row:
        """Return one plan, measured and predicted."""
        plan = plan_of(model, samples, self.profile)
        general = simulate(plan).step_time_s
        self.sweep.measured, steps = [], []
        for _ in range(_ROUNDS):
            self.sweep.network(model, samples)
            steps.append(measured_step(plan, self.device, steps=5))
        step = Step(
            statistics.fmean(each.time for each in steps),
            statistics.fmean(each.wall for each in steps),
            max(each.spread for each in steps),
            steps[0].peak,
        )
        kernels = {"fp32": self.sweep.table()}
        job = prepare(plan)
        single = replace(job.profile, kernels=kernels)
        own = simulate(plan, profile=single).step_time_s
        return Row(named(model), samples, general, own, step)


def results(rows: Sequence[Row], profile: Path, seconds: Seconds) -> dict[str, Any]:
    """Return the results as tables."""
    return {
        "profile": profile.name,
        "conditions": conditions("cpu"),
        "took": format_quantity(seconds, "s"),
        "general": summary(rows, 0),
        "own": summary(rows, 1),
        "rows": [
            {
                "model": row.name,
                "samples": row.samples,
                "general": format_quantity(row.general, "s", 4),
                "own": format_quantity(row.own, "s", 4),
                "measured": format_quantity(row.step.time, "s", 4),
                "on_the_wall": format_quantity(row.step.wall, "s", 4),
                "spread": round(row.step.spread, 4),
                "general_error": round(row.errors[0], 4),
                "own_error": round(row.errors[1], 4),
            }
            for row in rows
        ],
    }


def summary(rows: Sequence[Row], which: int) -> dict[str, Any]:
    """Return how far one of both predictions is off."""
    errors = [row.errors[which] for row in rows]
    worst = max(rows, key=lambda row: abs(row.errors[which]))
    return {
        "rows": len(rows),
        "median_error": round(statistics.median(map(abs, errors)), 4),
        "bias": round(statistics.median(errors), 4),
        "worst_error": round(worst.errors[which], 4),
        "worst": f"{worst.name}, {worst.samples} samples",
    }


def named(model: Mapping[str, Any]) -> str:
    """Return what a network of the study is called."""
    if "name" in model:
        return f"{model['name']} of {model['image']} pixels"
    sizes = (value for key, value in model.items() if key != "family")
    return f"{model['family']} {'x'.join(str(size) for size in sizes)}"


def line(row: Row) -> str:
    """Return a row for people: measured, then both predictions with their errors."""
    general, own = row.errors
    return (
        f"{row.name:42} {row.samples:5} {row.step.time * 1e3:9.2f} ms"
        f" {row.general * 1e3:9.2f} ms {general:+7.1%}"
        f" {row.own * 1e3:9.2f} ms {own:+7.1%}  spread {row.step.spread:.1%}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m calibration.machine.study")
    parser.add_argument("profile", type=Path, help="that predicts")
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("study", nargs="?", choices=sorted(STUDIES), default="cpu")
    given = parser.parse_args(arguments)
    profile, out = given.profile, given.out
    quieten()
    begin, rows = time.monotonic(), []
    one = Study(profile, say=lambda _: None)
    for model, sizes in STUDIES[given.study]:
        for samples in sizes:
            rows.append(one.row(model, samples))
            sys.stdout.write(f"{line(rows[-1])}\n")
            sys.stdout.flush()
    found = results(rows, profile, time.monotonic() - begin)
    out.write_text(to_toml(found), encoding="utf-8")
    sys.stdout.write(f"general: {found['general']}\nown: {found['own']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
