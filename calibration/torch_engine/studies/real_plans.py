"""Random plans whose kernels run for real, predicted first and run afterwards.

The kernels are those of a profile of `simulate calibrate`, one thread of this machine;
the links have the constants of two hosts, and so has what sending takes from the cores;
that several ranks share a core is in the plan (`cluster.shared_cores`). No step is
fitted, and none is looked at before.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from calibration.machine.calibrate import calibrate
from calibration.torch_engine.running import Options, as_run
from calibration.torch_engine.studies import results, sending
from calibration.torch_engine.studies.real_drawing import PROFILE, draw
from calibration.torch_engine.studies.rows import (
    Drawn,
    Keys,
    Row,
    Seen,
    contended,
    entry,
    error_tables,
)
from calibration.torch_engine.studies.timed_plans import unshared
from calibration.torch_engine.validation import compare
from simulator.api import simulate
from simulator.errors import RehearsalError
from simulator.plan import Plan
from topologies.profile_file import PROFILES
from topologies.units import Count, Seconds

NAME = "emulated-real-plans"
FIGURES = ("ledger_equal", "load")
_KINDS = (
    *("ring", "pipeline-data", "tree", "pipeline", "halving-doubling"),
    *("ring", "tensor-data", "pipeline-data", "parameter-server", "pipeline"),
)
_SHORTEST: Seconds = 0.3
_LONGEST: Seconds = 2.5
_WARM_UP = 2
_LINK = "ethernet-1"


def profile(folder: Path = results.FOLDER, grid: str = "studied") -> None:
    """Measure this machine's kernels, and write them beside the links of two hosts.

    All its cores measure at once, as ranks on all of them will compute.

    Args:
        folder: of the profile.
        grid: sizes, a name of `calibration.machine.shapes.GRIDS`.
    """
    path = folder / PROFILE
    calibrate(path, grid=grid, with_links=False, processes=_cores())
    links = (PROFILES / "gloo-emulated.toml").read_text("utf-8")
    cable = tomllib.loads(links)["links"][_LINK] | sending.known()
    lines = ["", f"[links.{_LINK}]", *results.keys(cable)]
    with path.open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def predicted_rows(seed: int, count: Count, folder: Path = results.FOLDER) -> list[Row]:
    """Return the first plans of a seed, with their predictions.

    Args:
        seed: of all draws.
        count: plans [1].
        folder: of the profile.
    """
    rng = Random(seed)  # noqa: S311 - no secrets
    kinds = [_KINDS[k % len(_KINDS)] for k in range(int(count))]
    return [_row(rng, kind, folder) for kind in kinds]


def _row(rng: Random, kind: str, folder: Path) -> Row:
    """Return a plan that can be built, and is neither too short nor too long."""
    while True:
        drawn = draw(rng, kind, _cores())
        try:
            row = predicted(drawn, folder)
        except RehearsalError:
            continue
        if _SHORTEST <= row.predicted <= _LONGEST:
            return row


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def predicted(drawn: Drawn, folder: Path = results.FOLDER) -> Row:
    """Return a plan with its predictions."""
    plan = plan_of(drawn.plan, folder)
    found = simulate(plan)
    own_cores = plan.replace({"cluster.shared_cores": plan.world_size})
    other = plan_of(unshared(drawn.plan), folder)
    return Row(
        drawn=drawn,
        predicted=found.step_time_s,
        others={
            "compute_s": found.breakdown.compute_s,
            "unshared_s": simulate(other).step_time_s,
            "own_cores_s": simulate(own_cores).step_time_s,
        },
    )


def plan_of(keys: Keys, folder: Path = results.FOLDER) -> Plan:
    """Return a plan that names the profile of a folder, by torch's rules."""
    path = str((folder / PROFILE).absolute())
    cluster = {**keys["cluster"], "device": path, "profile": path}
    return as_run(Plan.from_mapping({**keys, "cluster": cluster}))


def measured(row: Row, repeats: Count, folder: Path = results.FOLDER) -> Row:
    """Run a plan and return it with what was measured.

    Args:
        row: with its predictions.
        repeats: steps that count [1].
        folder: of the profile.
    """
    load = os.getloadavg()[0]
    options = Options(
        network="emulated", steps=int(repeats), warm_up=_WARM_UP, is_looked_at=False
    )
    found = compare(row.drawn.name, plan_of(row.drawn.plan, folder), options)
    figures = (found.is_ledger_equal, round(load, 2))
    others = dict(zip(FIGURES, figures, strict=True))
    return replace(row, seen=Seen(found.measured.times, others))


def is_as_predicted(row: Row) -> bool:
    """Return whether a run sent what was predicted."""
    assert row.seen is not None, "it has run"
    return bool(row.seen.others["ledger_equal"])


def report(rows: Sequence[Row], seed: int, folder: Path = results.FOLDER) -> list[str]:
    """Return the lines of a study's file; rows that have not run have no time."""
    measured_on = tomllib.loads((folder / PROFILE).read_text("utf-8"))["conditions"]
    counted = {
        "seed": seed,
        "plans": len(rows),
        "profile": PROFILE,
        "profile_date": measured_on["date"],
        "processor": measured_on["processor"],
        "contended": contended(rows)["contended"],
    }
    lines = results.head(
        "Random plans with real kernels on emulated networks: predicted, then run.",
        f"real --seed {seed} --plans {len(rows)}",
    )
    lines += [*results.keys(counted), *error_tables(rows)]
    return [*lines, *results.rows(map(entry, rows))]
