"""Random plans, predicted first and run afterwards; all rows in a dated file.

Every prediction stands in the file before the first plan runs. A plan is *contended*
if the event engine expects more than a twentieth on top of what it expects where every
two hosts have a cable of their own. It is contended *between ops* if more than that on
top of the same ops on the same graph, each message or collective alone on it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random

from calibration.statistics import Errors, summarize
from calibration.torch_engine.timed import results
from calibration.torch_engine.timed.drawing import Drawn, draw
from calibration.torch_engine.timed.program import expected_bytes
from calibration.torch_engine.timed.running import TimedRun, run_timed
from simulator.api import run
from simulator.errors import RehearsalError
from simulator.job import Job, prepare
from simulator.plan import Plan
from topologies.units import Bytes, Count, Ratio, Seconds

_KINDS = (
    *("ring", "pipeline-data", "tree", "tensor-data", "halving-doubling"),
    *("pipeline-data", "parameter-server", "pipeline", "pipeline-data"),
)
_SHORTEST: Seconds = 0.4
_LONGEST: Seconds = 4.0
_CONTENDED: Ratio = 1.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """A plan of the study.

    Fields:
        drawn: the plan.
        job: of it.
        predicted: step time, by the event engine on the graph [s].
        alone: by the longest path, every message alone on the graph [s].
        unshared: by the event engine, a cable between every two hosts [s].
        sent: bytes of all sends, by the table of collectives [B].
        measured: what came of the run; None before it.
    """

    drawn: Drawn
    job: Job
    predicted: Seconds
    alone: Seconds
    unshared: Seconds
    sent: Bytes
    measured: TimedRun | None = None

    @property
    def error(self) -> float:
        """Relative error of the prediction."""
        assert self.measured is not None, "it has run"
        return self.predicted / self.measured.step_time - 1

    @property
    def is_contended(self) -> bool:
        """Whether messages slow each other."""
        return self.predicted > _CONTENDED * self.unshared

    @property
    def is_contended_between_ops(self) -> bool:
        """Whether those of different ops do."""
        return self.predicted > _CONTENDED * self.alone


def predicted_rows(seed: int, count: Count) -> list[Row]:
    """Return the first plans of a seed, with their predictions.

    Args:
        seed: of all draws.
        count: plans [1].
    """
    rng = Random(seed)  # noqa: S311 - no secrets
    return [_row(rng, _KINDS[k % len(_KINDS)]) for k in range(int(count))]


def _row(rng: Random, kind: str) -> Row:
    """Return a plan that can be built, and is neither too short nor too long."""
    while True:
        drawn = draw(rng, kind)
        try:
            row = predicted(drawn)
        except RehearsalError:
            continue
        if _SHORTEST <= row.predicted <= _LONGEST:
            return row


def predicted(drawn: Drawn) -> Row:
    """Return a plan with its predictions."""
    job = prepare(Plan.from_mapping(drawn.plan), is_folded=False)
    keys = drawn.plan["cluster"]["network"]
    full = {name: keys[name] for name in ("link", "bandwidth", "multipath")}
    full["topology"] = "full"
    cluster = {**drawn.plan["cluster"], "network": full}
    other = Plan.from_mapping({**drawn.plan, "cluster": cluster})
    return Row(
        drawn=drawn,
        job=job,
        predicted=run(job, "event").step_time,
        alone=run(job, "analytical").step_time,
        unshared=run(prepare(other, is_folded=False), "event").step_time,
        sent=expected_bytes(job),
    )


def measured(row: Row, repeats: Count) -> Row:
    """Run a plan and return it with what was measured.

    Args:
        row: with its predictions.
        repeats: steps that count [1].
    """
    return replace(row, measured=run_timed(row.job, repeats=repeats))


def report(rows: Sequence[Row], seed: int) -> list[str]:
    """Return the lines of a study's file; rows that have not run have no time."""
    counted = {
        "seed": seed,
        "plans": len(rows),
        "profile": "gloo-emulated",
        "contended": sum(row.is_contended for row in rows),
        "contended_between_ops": sum(row.is_contended_between_ops for row in rows),
    }
    lines = results.head(
        "Random plans on emulated networks: predicted first, then run.",
        f"study --seed {seed} --plans {len(rows)}",
    )
    lines += results.keys(counted)
    for name, some in _parts(rows):
        lines += ["", f"[errors.{name}]", *results.keys(_summary(some))]
    return [*lines, *results.rows(map(_entry, rows))]


def errors_of(rows: Iterable[Row]) -> Errors | None:
    """Return the errors of those rows that have run."""
    return summarize([(row.drawn.name, row.error) for row in rows if row.measured])


def _parts(rows: Sequence[Row]) -> Iterable[tuple[str, list[Row]]]:
    """Yield all rows, then those of each kind, and those with contention."""
    measured = [row for row in rows if row.measured]
    if not measured:
        return
    yield "all", measured
    yield "contended", [row for row in measured if row.is_contended]
    for kind in dict.fromkeys(row.drawn.kind for row in measured):
        yield kind, [row for row in measured if row.drawn.kind == kind]


def _summary(rows: Sequence[Row]) -> dict[str, object]:
    errors = errors_of(rows)
    if errors is None:
        return {"rows": 0}
    return {
        "rows": errors.rows,
        "median": round(errors.median, 4),
        "p90": round(errors.p90, 4),
        "bias": round(errors.bias, 4),
        "worst": round(errors.worst, 4),
        "worst_row": errors.worst_id,
    }


def _entry(row: Row) -> dict[str, object]:
    """Return what the file says of a row; its plan is JSON."""
    values: dict[str, object] = {
        "name": row.drawn.name,
        "kind": row.drawn.kind,
        "plan": json.dumps(row.drawn.plan),
        "predicted_s": round(row.predicted, 5),
        "alone_s": round(row.alone, 5),
        "unshared_s": round(row.unshared, 5),
        "sent_bytes": round(row.sent),
    }
    if row.measured is not None:
        values |= {
            "measured_s": round(row.measured.step_time, 5),
            "steps_s": [round(time, 5) for time in row.measured.step_times],
            "error": round(row.error, 4),
            "measured_bytes": round(row.measured.wire_bytes),
            "cpu_share": round(row.measured.cpu_share, 3),
            "load": round(row.measured.load, 2),
        }
    return values
