"""`simulate validate`: a prediction and a real run of the same plan, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from calibration.torch_engine.measured import Measured
from calibration.torch_engine.running import Options, as_run, run
from simulator.api import simulate
from simulator.plan import Plan
from simulator.results.metrics import LedgerRow
from simulator.results.result import Result
from topologies.units import Ratio, format_quantity

_ROUNDING = 1e-13  # of sums in another order


class Row(NamedTuple):
    """One figure, predicted and measured.

    Fields:
        name: as in JSON.
        predicted, measured: in SI base units; None where it was not measured.
        unit: of both.
    """

    name: str
    predicted: float
    measured: float | None
    unit: str

    @property
    def error(self) -> Ratio | None:
        """(predicted - measured) / measured; None without a measurement [1]."""
        if not self.measured:
            return None
        return (self.predicted - self.measured) / self.measured


@dataclass(frozen=True, slots=True)
class Comparison:
    """A plan, its prediction and its run.

    Fields:
        name: of the plan, as it was given.
        predicted: under the rules of what ran.
        measured: what ran.
    """

    name: str
    predicted: Result
    measured: Measured

    @property
    def is_ledger_equal(self) -> bool:
        """Whether bytes and counts are the same in every row."""
        return not self.unequal

    @property
    def unequal(self) -> list[tuple[LedgerRow | None, LedgerRow | None]]:
        """Rows that differ: predicted and measured."""
        ours = {(row.op, row.axis): row for row in self.predicted.ledger if row.count}
        theirs = {(row.op, row.axis): row for row in self.measured.ledger if row.count}
        pairs = [(ours.get(key), theirs.get(key)) for key in sorted({*ours, *theirs})]
        return [(one, other) for one, other in pairs if one != other]

    @property
    def rows(self) -> list[Row]:
        """The figures side by side."""
        ours, theirs = self.predicted, self.measured
        parts = theirs.parts
        cut = ours.breakdown
        waiting = cut.bubble_s + cut.synchronization_s + cut.host_s + cut.other_s
        waiting = waiting if waiting > _ROUNDING * ours.step_time_s else 0.0
        exposed = parts.exposed_communication_s if parts else None
        return [
            Row("step_time_s", ours.step_time_s, theirs.step_time_s, "s"),
            Row("compute_s", cut.compute_s, parts and parts.compute_s, "s"),
            Row("exposed_communication_s", cut.exposed_communication_s, exposed, "s"),
            Row("other_s", waiting, parts and parts.other_s, "s"),
            Row("samples_per_s", ours.samples_per_s, theirs.samples_per_s, "1"),
        ]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        predicted = self.predicted.to_json()
        return {
            "plan": self.name,
            "ledger_equal": self.is_ledger_equal,
            "predicted": predicted,
            "measured": self.measured.to_json(),
            "error": {row.name: row.error for row in self.rows},
        }


def compare(name: str, plan: Plan, options: Options) -> Comparison:
    """Predict a plan, then run it."""
    is_real = options.compute == "real"
    predicted = simulate(as_run(plan) if is_real else plan, is_folded=is_real)
    return Comparison(name, predicted, run(plan, options))


@dataclass(frozen=True, slots=True)
class Validation:
    """Several plans, predicted and run."""

    comparisons: Sequence[Comparison]

    @property
    def is_ledger_equal(self) -> bool:
        """Whether all plans sent what was predicted."""
        return all(each.is_ledger_equal for each in self.comparisons)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "ledger_equal": self.is_ledger_equal,
            "plans": [each.to_json() for each in self.comparisons],
        }

    def text(self) -> str:
        """Return a table a plan, or one line each of many."""
        if len(self.comparisons) == 1:
            return _table(self.comparisons[0])
        width = max(len(each.name) for each in self.comparisons)
        head = f"{'plan':<{width}}  {'predicted':>11}  {'measured':>11}  {'error':>8}"
        return "\n".join(
            [f"{head}  ledger", *(_line(each, width) for each in self.comparisons)]
        )


def validate(
    plans: Sequence[tuple[str, Plan]],
    options: Options,
    each_done: Callable[[Comparison], None] = lambda _: None,
) -> Validation:
    """Predict and run plans one after the other.

    Args:
        plans: with their names.
        options: of all runs.
        each_done: told of each that has ended.
    """
    comparisons = []
    for name, plan in plans:
        comparisons.append(compare(name, plan, options))
        each_done(comparisons[-1])
    return Validation(comparisons)


def _line(comparison: Comparison, width: int) -> str:
    row = comparison.rows[0]
    figures = f"{_said(row.predicted, 's'):>11}  {_said(row.measured, 's'):>11}"
    word = "equal" if comparison.is_ledger_equal else "UNEQUAL"
    return f"{comparison.name:<{width}}  {figures}  {_percent(row.error):>8}  {word}"


def _table(comparison: Comparison) -> str:
    """Return the figures of one plan, its intervals and its ledger."""
    head = f"{'':<24}{'predicted':>14}{'measured':>14}{'error':>10}"
    lines = [comparison.name, "", head]
    for row in comparison.rows:
        name = row.name.removesuffix("_s").replace("_", " ")
        if row.name == "samples_per_s":
            name = "samples a second"
        figures = (
            f"{_said(row.predicted, row.unit):>14}{_said(row.measured, row.unit):>14}"
        )
        lines.append(f"{name:<24}{figures}{_percent(row.error):>10}")
    both = (comparison.predicted.interval_s, comparison.measured.interval_s)
    spans = [" … ".join(format_quantity(end, "s") for end in each) for each in both]
    worth = "nine of ten" if comparison.predicted.is_interval_measured else "assumed"
    lines += [
        "",
        f"interval predicted      {spans[0]} ({worth})",
        f"interval measured       {spans[1]} ({len(comparison.measured.times)} steps)",
        "",
        *_ledger_lines(comparison),
    ]
    return "\n".join(lines)


def _ledger_lines(comparison: Comparison) -> list[str]:
    rows = comparison.measured.ledger
    if comparison.is_ledger_equal:
        found = [
            f"  {row.op:<16}{row.axis:<14}{row.count:>6}"
            f"{format_quantity(row.bytes, 'B'):>12}"
            for row in rows
        ]
        return ["ledger: equal, in bytes and counts", *found]
    lines = ["ledger: UNEQUAL"]
    for ours, theirs in comparison.unequal:
        row = ours or theirs
        assert row is not None, "one of them is there"
        said = [
            f"{each.count} of {each.bytes:.0f} B" if each else "none"
            for each in (ours, theirs)
        ]
        lines.append(f"  {row.op} {row.axis}: predicted {said[0]}, sent {said[1]}")
    return lines


def _said(value: float | None, unit: str) -> str:
    return "-" if value is None else format_quantity(value, unit)


def _percent(error: Ratio | None) -> str:
    return "-" if error is None else f"{100 * error:+.1f} %"
