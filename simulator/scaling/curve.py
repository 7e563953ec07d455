"""The scaling curve: its points, its rows as plain data, and its answer in words."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from simulator.plan import Plan
from simulator.results.result import SCHEMA_VERSION, Engine
from simulator.scaling.answer import answer
from simulator.scaling.frames import data_frame
from simulator.scaling.points import Measures, Point, same_work
from simulator.scaling.stopping import Step, stop
from simulator.scaling.table import html_table, text_table
from topologies.units import Ratio

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DEVICE_KEYS = frozenset({"cluster.nodes", "cluster.devices_per_node"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Scaling:
    """Predictions of a plan over ranges of some keys.

    Speed-up is samples per second over those of a reference, and efficiency is speed-up
    over the ratio of devices. Where the number of devices varies, the reference of a
    point is that of fewest devices with the same values of all other keys; else it is
    the first point that can run. Points of models that need other FLOP for a sample are
    never compared.

    Fields:
        plan: where the other values come from.
        keys: dotted keys that vary, the last one fastest.
        engine: which engine predicted.
        is_weak: whether the batch grew with the devices.
        notes: what else was changed, in words.
        points: in the order asked for.
        is_interrupted: whether points are missing because somebody stopped it.
    """

    plan: Plan
    keys: tuple[str, ...]
    engine: Engine
    is_weak: bool
    notes: tuple[str, ...]
    points: tuple[Point, ...]
    is_interrupted: bool = False

    @property
    def title(self) -> str:
        """What reports and plots are headed with."""
        kind = "weak scaling" if self.is_weak else "scaling"
        name = self.plan.title or self.plan.build_model().name
        return f"{name}: {kind} over {', '.join(self.keys)}"

    @property
    def reference(self) -> Measures | None:
        """The first point that can run; one that fits in memory, if one does."""
        return _first(self.points)

    @property
    def stop(self) -> Step | None:
        """The first step that does not pay; `simulator.scaling.stopping` says how."""
        return stop(self.points)

    @property
    def answer(self) -> str:
        """The point where it stops paying and why, in words."""
        return answer(self.points, is_interrupted=self.is_interrupted)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One flat row a point, in SI base units; None where nothing was predicted."""
        return [self._row(point) for point in self.points]

    def _row(self, point: Point) -> dict[str, Any]:
        plan, found = point.plan, point.measures
        speedup, efficiency = self.relative(point)
        return {
            **point.settings,
            "devices": point.devices,
            "data": plan.parallelism.data if plan else None,
            "batch_global": plan.batch.global_ if plan else None,
            "status": point.status,
            "step_time_s": found and found.step_time_s,
            "interval_low_s": found and found.interval_s[0],
            "interval_high_s": found and found.interval_s[1],
            "samples_per_s": found and found.samples_per_s,
            "tokens_per_s": found and found.tokens_per_s,
            "speedup": speedup,
            "efficiency": efficiency,
            "mfu": found and found.mfu,
            "exposed_communication_share": (
                found and found.share("exposed_communication_s")
            ),
            "bubble_share": found and found.share("bubble_s"),
            "host_share": found and found.share("host_s"),
            "memory_peak_bytes": found and found.memory_peak_bytes,
            "reason": point.reason,
        }

    def relative(self, point: Point) -> tuple[Ratio | None, Ratio | None]:
        """Return speed-up and efficiency of a point; None where there are none."""
        found, base = point.measures, self._base(point)
        if found is None or base is None:
            return None, None
        speedup = found.samples_per_s / base.samples_per_s
        return speedup, speedup * base.devices / found.devices

    def _base(self, point: Point) -> Measures | None:
        """Return what a point is compared with."""
        own = point.measures
        alike = [p for p in self.points if own and _is_like(p, own)]
        if len({p.measures.devices for p in self.points if p.measures}) == 1:
            return _first(alike)
        alike = [p for p in alike if _others(p) == _others(point)]
        return _first(sorted(alike, key=lambda one: one.devices or 0))

    def text(self) -> str:
        """Return heading, notes, table and answer."""
        notes = [f"  {note}" for note in (*self.notes, f"engine {self.engine}")]
        heading = "\n".join([self.title, *notes])
        return f"{heading}\n\n{text_table(self)}\n\n{self.answer}"

    def to_csv(self) -> str:
        """Return the rows under their names; empty where nothing was predicted."""
        out = io.StringIO()
        if self.points:
            writer = csv.DictWriter(out, self.rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        return out.getvalue()

    def to_json(self) -> dict[str, Any]:
        """Return plain data, every number in SI base units."""
        return {
            "schema_version": SCHEMA_VERSION,
            "title": self.title,
            "engine": self.engine,
            "keys": list(self.keys),
            "is_weak": self.is_weak,
            "is_interrupted": self.is_interrupted,
            "notes": list(self.notes),
            "points": [self._json_point(point) for point in self.points],
            "stops_paying": self._json_stop(),
            "answer": self.answer,
        }

    def _json_point(self, point: Point) -> dict[str, Any]:
        row = self._row(point)
        values = {key: row[key] for key in row if key not in point.settings}
        found = point.measures
        parts = asdict(found.breakdown) if found else None
        return {"set": dict(point.settings), **values, "breakdown": parts}

    def _json_stop(self) -> dict[str, Any] | None:
        step = self.stop
        if step is None:
            return None
        return {
            "devices": step.before.devices,
            "set": dict(step.before.settings),
            "next_devices": step.after.devices,
            "gain": step.gain,
            "gain_per_doubling": step.gain_per_doubling,
            "part": step.part,
            "device_seconds_per_sample": [step.cost_before, step.cost_after],
            "share_of_loss": step.share,
        }

    def to_pandas(self) -> Any:
        """Return the rows as a pandas DataFrame.

        Raises:
            MissingOptional: pandas is not installed.
        """
        return data_frame(self.rows)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Return the curve as a matplotlib figure, written to `path` if given.

        Raises:
            UnknownFormat: the suffix of `path` is none that is written.
        """
        from simulator.plot.style import finished  # noqa: PLC0415 - matplotlib is heavy
        from simulator.scaling.drawing import draw  # noqa: PLC0415 - same

        return finished(lambda: draw(self), path)

    @override
    def __repr__(self) -> str:
        """Return one line; `text()` is the whole table."""
        return f"<Scaling: {self.title}, {len(self.points)} points>"

    def _repr_html_(self) -> str:
        """Return table and answer for a notebook."""
        return html_table(self)


def _first(points: Iterable[Point]) -> Measures | None:
    """Return the first prediction, of those that fit in memory if any does."""
    found = [(p.measures, p.is_feasible) for p in points if p.measures]
    return next(
        (measures for measures, fits in found if fits), found[0][0] if found else None
    )


def _is_like(point: Point, own: Measures) -> bool:
    """Return whether a point has a prediction of samples that cost as much."""
    return point.measures is not None and same_work(point.measures, own)


def _others(point: Point) -> dict[str, Any]:
    """Return what a point sets beside the number of devices."""
    return {k: v for k, v in point.settings.items() if k not in _DEVICE_KEYS}
