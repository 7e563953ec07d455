"""Rows of a study: a plan, what was predicted of it, and what came of its run.

A file has every prediction before the first plan runs, and is written anew after each
that has run; a study that was interrupted goes on where it ended.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from calibration.scoring.statistics import Errors, summarize
from calibration.torch_engine.studies import results
from topologies.units import Count, Ratio, Seconds

_DIGITS = 5  # of times in files
_CONTENDED: Ratio = 1.05

Keys = dict[str, Any]
"""A table of a plan."""


class Drawn(NamedTuple):
    """A plan of a study.

    Fields:
        name: kind, graph and hosts.
        kind: of split.
        plan: as a mapping.
    """

    name: str
    kind: str
    plan: Keys


class Seen(NamedTuple):
    """What was measured of a row.

    Fields:
        times: of the steps that count [s].
        others: further figures, by their names in the file.
    """

    times: tuple[Seconds, ...]
    others: Mapping[str, Any]

    @property
    def time(self) -> Seconds:
        """The median step [s]."""
        return median(self.times)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """A plan of a study.

    Fields:
        drawn: the plan.
        predicted: step time, by the event engine [s].
        others: what else was predicted, by names in the file: `unshared_s` with a
            cable between every two hosts, `alone_s` with every message alone [s].
        seen: what came of the run; None before it.
    """

    drawn: Drawn
    predicted: Seconds
    others: Mapping[str, float] = field(default_factory=dict)
    seen: Seen | None = None

    @property
    def error(self) -> float:
        """Relative error of the prediction."""
        assert self.seen is not None, "it has run"
        return self.predicted / self.seen.time - 1

    @property
    def is_contended(self) -> bool:
        """Whether messages slow each other."""
        return self._is_beyond("unshared_s")

    @property
    def is_contended_between_ops(self) -> bool:
        """Whether those of different ops do."""
        return self._is_beyond("alone_s")

    def _is_beyond(self, name: str) -> bool:
        other = self.others.get(name)
        return other is not None and self.predicted > _CONTENDED * other


def errors_of(rows: Iterable[Row]) -> Errors | None:
    """Return the errors of those rows that have run."""
    return summarize([(row.drawn.name, row.error) for row in rows if row.seen])


def error_tables(rows: Sequence[Row]) -> Iterable[str]:
    """Yield tables of errors: all rows, those with contention, those of each kind."""
    seen = [row for row in rows if row.seen]
    parts = {"all": seen, "contended": [row for row in seen if row.is_contended]}
    for row in seen:
        parts.setdefault(row.drawn.kind, []).append(row)
    for name, some in parts.items():
        if seen:
            yield from ("", f"[errors.{name}]", *results.keys(_summary(some)))


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


def entry(row: Row) -> dict[str, object]:
    """Return what a file says of a row; its plan is JSON."""
    values: dict[str, object] = {
        "name": row.drawn.name,
        "kind": row.drawn.kind,
        "plan": json.dumps(row.drawn.plan),
        "predicted_s": round(row.predicted, _DIGITS),
        **{name: round(value, _DIGITS) for name, value in row.others.items()},
    }
    if row.seen is not None:
        values |= {
            "measured_s": round(row.seen.time, _DIGITS),
            "steps_s": [round(time, _DIGITS) for time in row.seen.times],
            "error": round(row.error, 4),
            **row.seen.others,
        }
    return values


def finished(rows: Iterable[Row], path: Path, names: Sequence[str]) -> list[Row]:
    """Return rows with what a file of the same plans and predictions has of them.

    Args:
        rows: that have not run.
        path: of a file that `entry` wrote.
        names: of further figures of a run.
    """
    if not path.exists():
        return list(rows)
    found = tomllib.loads(path.read_text("utf-8")).get("row", [])
    known = {(each["plan"], each["predicted_s"]): each for each in found}
    return [_with(row, known.get(_key(row), {}), names) for row in rows]


def recorded(path: Path, names: Sequence[str]) -> list[Row]:
    """Return the rows of a file that have run, with the predictions of then.

    Args:
        path: of a file that `entry` wrote.
        names: of further figures of a run.
    """
    found = tomllib.loads(path.read_text("utf-8")).get("row", [])
    return [
        _with(
            Row(
                drawn=Drawn(each["name"], each["kind"], json.loads(each["plan"])),
                predicted=each["predicted_s"],
            ),
            each,
            names,
        )
        for each in found
        if "steps_s" in each
    ]


def _key(row: Row) -> tuple[str, Seconds]:
    return json.dumps(row.drawn.plan), round(row.predicted, _DIGITS)


def _with(row: Row, values: Mapping[str, Any], names: Sequence[str]) -> Row:
    if "steps_s" not in values:
        return row
    others = {name: values[name] for name in names if name in values}
    return replace(row, seen=Seen(tuple(values["steps_s"]), others))


def contended(rows: Sequence[Row]) -> Mapping[str, Count]:
    """Return how many rows are contended, in both meanings [1]."""
    return {
        "contended": sum(row.is_contended for row in rows),
        "contended_between_ops": sum(row.is_contended_between_ops for row in rows),
    }
