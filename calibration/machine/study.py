"""Whole training steps, predicted from measured kernels alone, beside measured ones.

    python -m calibration.machine.study PROFILE.toml RESULTS.toml

No step was fitted: the profile holds kernels that were timed one by one in other
networks. The steps are timed in the same conditions (`quiet`).
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from calibration.machine.quiet import conditions, quieten
from calibration.machine.steps import Step, measured_step
from calibration.machine.studied import STUDIES
from simulator.api import simulate
from simulator.plan import Plan
from simulator.plans.dumping import to_toml
from topologies.units import Ratio, Seconds, format_quantity


class Row(NamedTuple):
    """One plan.

    Fields:
        name: of the network.
        samples: of the batch [1].
        predicted: time of a step [s].
        step: as measured.
    """

    name: str
    samples: int
    predicted: Seconds
    step: Step

    @property
    def error(self) -> Ratio:
        """Return predicted / measured - 1."""
        return self.predicted / self.step.time - 1


def plan_of(model: Mapping[str, Any], samples: int, profile: Path, **training: Any) -> Plan:
    """Return the plan of one device, that of a profile."""
    return Plan.from_mapping(
        {
            "model": dict(model),
            "batch": {"global": samples, "micro": samples},
            "training": {"precision": "fp32", "optimizer": "adam", **training},
            "cluster": {"device": str(profile.absolute())},
        }
    )


def study(profile: Path, name: str, *, device: str = "cpu") -> Iterator[Row]:
    """Yield every plan of a study."""
    for model, sizes in STUDIES[name]:
        for samples in sizes:
            plan = plan_of(model, samples, profile)
            predicted = simulate(plan).step_time_s  # before anything runs
            step = measured_step(plan, device)
            yield Row(_named(model), samples, predicted, step)


def results(rows: Sequence[Row], profile: Path, seconds: Seconds) -> dict[str, Any]:
    """Return the results as tables."""
    errors = [abs(row.error) for row in rows]
    worst = max(rows, key=lambda row: abs(row.error))
    return {
        "profile": profile.name,
        "conditions": conditions("cpu"),
        "summary": {
            "rows": len(rows),
            "median_error": round(statistics.median(errors), 4),
            "worst_error": round(worst.error, 4),
            "worst": f"{worst.name}, {worst.samples} samples",
            "bias": round(statistics.median(row.error for row in rows), 4),
            "took": format_quantity(seconds, "s"),
        },
        "rows": [
            {
                "model": row.name,
                "samples": row.samples,
                "predicted": format_quantity(row.predicted, "s", 4),
                "measured": format_quantity(row.step.time, "s", 4),
                "on_the_wall": format_quantity(row.step.wall, "s", 4),
                "spread": round(row.step.spread, 4),
                "error": round(row.error, 4),
            }
            for row in rows
        ],
    }


def _named(model: Mapping[str, Any]) -> str:
    if "name" in model:
        return f"{model['name']} of {model['image']} pixels"
    sizes = (value for key, value in model.items() if key != "family")
    return f"{model['family']} {'x'.join(str(size) for size in sizes)}"


def main(arguments: Sequence[str]) -> int:
    """Run the study that the command line names."""
    profile, out = map(Path, arguments[:2])
    name = arguments[2] if len(arguments) > 2 else "cpu"  # noqa: PLR2004 - the third
    quieten()
    begin, rows = time.monotonic(), []
    for row in study(profile, name):
        rows.append(row)
        sys.stdout.write(
            f"{row.name:44} {row.samples:5} {row.predicted * 1e3:9.2f} ms"
            f" {row.step.time * 1e3:9.2f} ms {row.error:+7.1%} +-{row.step.spread:.1%}\n"
        )
        sys.stdout.flush()
    found = results(rows, profile, time.monotonic() - begin)
    out.write_text(to_toml(found), encoding="utf-8")
    sys.stdout.write(f"{found['summary']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
