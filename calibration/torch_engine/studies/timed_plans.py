"""Random plans with timed kernels, predicted first and run afterwards.

Every prediction stands in the file before the first plan runs. A plan is *contended*
if the event engine expects more than a twentieth on top of what it expects where every
two hosts have a cable of their own. It is contended *between ops* if more than that on
top of the same ops on the same graph, each message or collective alone on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from calibration.torch_engine.studies import results
from calibration.torch_engine.studies.rows import (
    Drawn,
    Keys,
    Row,
    Seen,
    contended,
    entry,
    error_tables,
)
from calibration.torch_engine.studies.timed_drawing import draw
from calibration.torch_engine.timed.program import expected_bytes
from calibration.torch_engine.timed.running import run_timed
from simulator.api import run
from simulator.errors import RehearsalError
from simulator.job import Job, prepare
from simulator.plan import Plan
from topologies.units import Count, Seconds

NAME = "emulated-plans"
FIGURES = ("measured_bytes", "cpu_share", "load")
_KINDS = (
    *("ring", "pipeline-data", "tree", "tensor-data", "halving-doubling"),
    *("pipeline-data", "parameter-server", "pipeline", "pipeline-data"),
)
_SHORTEST: Seconds = 0.4
_LONGEST: Seconds = 3.0


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
    job = _job(drawn.plan)
    return Row(
        drawn=drawn,
        predicted=run(job, "event").step_time,
        others={
            "alone_s": run(job, "analytical").step_time,
            "unshared_s": run(_job(unshared(drawn.plan)), "event").step_time,
            "sent_bytes": expected_bytes(job),
        },
    )


def unshared(plan: Keys) -> Keys:
    """Return a plan with a cable between every two hosts."""
    keys = plan["cluster"]["network"]
    full = {name: keys[name] for name in ("link", "bandwidth", "multipath")}
    cluster = {**plan["cluster"], "network": {**full, "topology": "full"}}
    return {**plan, "cluster": cluster}


def _job(plan: Keys) -> Job:
    return prepare(Plan.from_mapping(plan), is_folded=False)


def measured(row: Row, repeats: Count) -> Row:
    """Run a plan and return it with what was measured.

    Args:
        row: with its predictions.
        repeats: steps that count [1].
    """
    found = run_timed(_job(row.drawn.plan), repeats=repeats)
    figures = (round(found.wire_bytes), found.cpu_share, found.load)
    others = {
        name: round(value, 3) for name, value in zip(FIGURES, figures, strict=True)
    }
    return replace(row, seen=Seen(found.step_times, others))


def is_as_predicted(row: Row) -> bool:
    """Return whether a run sent what it should have; blocks are whole elements."""
    assert row.seen is not None, "it has run"
    sent = row.others["sent_bytes"]
    return bool(abs(row.seen.others["measured_bytes"] - sent) <= 1e-4 * sent)


def report(rows: Sequence[Row], seed: int) -> list[str]:
    """Return the lines of a study's file; rows that have not run have no time."""
    counted = {
        "seed": seed,
        "plans": len(rows),
        "profile": "gloo-emulated",
        **contended(rows),
    }
    lines = results.head(
        "Random plans on emulated networks: predicted first, then run.",
        f"study --seed {seed} --plans {len(rows)}",
    )
    lines += [*results.keys(counted), *error_tables(rows)]
    return [*lines, *results.rows(map(entry, rows))]
