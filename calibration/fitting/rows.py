"""The rows that a fit is made on, lowered once, and how much each of them counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.fitting.repricing import Kernels, Numbers, Structure, structure
from calibration.score_files.records import ScoreFile
from calibration.scoring.score import row_plan
from simulator.errors import Fault, PlanError
from simulator.plan import Plan
from topologies.profile import Profile

Integers = NDArray[np.int64]
Chosen = NDArray[np.bool_]
"""Which rows take part, one entry a row."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Measured rows, lowered.

    Fields:
        ids: file and row.
        structures: lowered plans.
        measured: step times [s].
        groups: number of each row's file.
    """

    ids: tuple[str, ...]
    structures: tuple[Structure, ...]
    measured: Numbers
    groups: Integers

    def weights(self, used: Chosen) -> Numbers:
        """Return weights with the same total for each file; zero where not used."""
        weights = np.zeros(len(self.ids))
        groups = np.unique(self.groups[used])
        for group in groups:
            member = used & (self.groups == group)
            weights[member] = used.sum() / len(groups) / member.sum()
        return weights

    def step_times(self, profile: Profile, count: int, used: Chosen) -> Numbers:
        """Return step times: a row each, a column for each profile [s]."""
        kernels: Kernels = {}
        return np.array(
            [
                one.step_times(profile, count, kernels)
                for one, is_used in zip(self.structures, used, strict=True)
                if is_used
            ]
        )


def lowered_rows(files: Sequence[ScoreFile], profile: Profile) -> Rows:
    """Return the rows that `files` mark as fitted on.

    Raises:
        PlanError: a row is invalid or has no step time.
    """
    ids, structures, measured, groups = [], [], [], []
    faults = []
    for number, file in enumerate(files):
        for row in file.rows:
            if not row.is_fit:
                continue
            time = row.measured.get("step_time_s")
            plan = row_plan(file, row)
            if time is None or not isinstance(plan, Plan):
                problem = "is fitted on, and has no step_time_s"
                faults.append(Fault(row.id, problem, given=row.place))
                continue
            ids.append(f"{file.path}: {row.id}")
            structures.append(structure(plan, profile))
            measured.append(time)
            groups.append(number)
    if not ids and not faults:
        faults.append(Fault("fit", "no row of these files is marked as fitted on"))
    if faults:
        raise PlanError(faults, ", ".join(file.path for file in files))
    return Rows(
        ids=tuple(ids),
        structures=tuple(structures),
        measured=np.array(measured, dtype=float),
        groups=np.array(groups, dtype=np.int64),
    )


def folds(rows: Rows, count: int) -> list[Chosen]:
    """Return which rows each fold holds out: in each file every `count`-th."""
    place = np.zeros(len(rows.ids), dtype=np.int64)
    for group in np.unique(rows.groups):
        member = rows.groups == group
        place[member] = np.arange(member.sum())
    held = [place % count == fold for fold in range(count)]
    return [fold for fold in held if fold.any()]
