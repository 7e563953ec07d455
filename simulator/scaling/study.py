"""Several plans over the same ranges of keys: one table, one picture."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from simulator.plan import Plan
from simulator.results.result import SCHEMA_VERSION, Engine
from simulator.scaling.curve import Scaling
from simulator.scaling.frames import data_frame
from simulator.scaling.sweep import scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Study:
    """Scaling curves of several plans, each relative to a point of its own.

    Fields:
        scalings: of each plan, in the order asked for; the last may be interrupted.
    """

    scalings: tuple[Scaling, ...]

    @property
    def is_interrupted(self) -> bool:
        """Whether points are missing because somebody stopped it."""
        return any(scaling.is_interrupted for scaling in self.scalings)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One flat row a point, the plan's name first; else as of a `Scaling`."""
        return [
            {"plan": name_of(scaling.plan), **row}
            for scaling in self.scalings
            for row in scaling.rows
        ]

    def text(self) -> str:
        """Return heading, notes, table and answer of each plan."""
        return "\n\n\n".join(scaling.text() for scaling in self.scalings)

    def to_csv(self) -> str:
        """Return all rows under their names; empty where nothing was predicted."""
        rows, out = self.rows, io.StringIO()
        if rows:
            writer = csv.DictWriter(out, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return out.getvalue()

    def to_json(self) -> dict[str, Any]:
        """Return plain data, every number in SI base units."""
        return {
            "schema_version": SCHEMA_VERSION,
            "is_interrupted": self.is_interrupted,
            "scalings": [scaling.to_json() for scaling in self.scalings],
        }

    def to_pandas(self) -> Any:
        """Return the rows as a pandas DataFrame.

        Raises:
            MissingOptional: pandas is not installed.
        """
        return data_frame(self.rows)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Return small multiples as a matplotlib figure, written to `path` if given.

        Raises:
            UnknownFormat: the suffix of `path` is none that is written.
        """
        from simulator.plot.style import finished  # noqa: PLC0415 - matplotlib is heavy
        from simulator.scaling.panels import draw  # noqa: PLC0415 - same

        return finished(lambda: draw(self), path)

    @override
    def __repr__(self) -> str:
        """Return one line; `text()` is the whole table."""
        names = ", ".join(name_of(scaling.plan) for scaling in self.scalings)
        return f"<Study: {names}, {len(self.rows)} points>"

    def _repr_html_(self) -> str:
        """Return tables and answers for a notebook."""
        return "".join(scaling._repr_html_() for scaling in self.scalings)


def name_of(plan: Plan) -> str:
    """Return the title of a plan, or the name of its model."""
    return plan.title or plan.build_model().name


def study(
    plans: Iterable[Plan],
    over: Mapping[str, Sequence[Any]],
    engine: Engine = "analytical",
    *,
    weak: bool = False,
) -> Study:
    """Return the scaling of each plan over the same keys.

    Args:
        plans: where the other values come from.
        over: dotted keys and the values to try; the last key varies fastest.
        engine: as for `simulate`.
        weak: let the batch grow with the devices.

    Raises:
        PlanError: a key that a plan does not have, or one without values.

    >>> study([alexnet, resnet], {"cluster.nodes": [1, 8]})  # doctest: +SKIP
    """
    found: list[Scaling] = []
    for plan in plans:
        found.append(scale(plan, over, engine, weak=weak))
        if found[-1].is_interrupted:
            break
    return Study(scalings=tuple(found))
