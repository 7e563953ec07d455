"""What a wrong order of a ring costs, predicted and for real.

On a wheel of equal cables no order is worse than another: in each round every host
sends once and receives once, and what does not go along the rim has a spoke out and
a spoke in to itself. So the wheel is tried as it is, where the factor is 1, and with
all but two spokes at a part of their rate; and beside it the ring, where a wrong order
puts several messages on every cable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from calibration.torch_engine.studies import results
from calibration.torch_engine.timed.running import run_timed
from simulator.api import run
from simulator.job import Job, prepare
from simulator.plan import Plan
from topologies.units import Count, Ratio, Seconds

_RATE = "100 Mbit/s"
_WIDTH = 512  # four layers of 1 MB: a ring of eight takes about half a second


class Case(NamedTuple):
    """A graph on which a ring has a right order and a wrong one.

    Fields:
        topology: family.
        hosts: how many [1].
        stride: of the wrong order: all hosts in steps of so many [1].
        spokes: what is left of the rate of all spokes but two, on a wheel [1].
    """

    topology: str
    hosts: int
    stride: int
    spokes: Ratio = 1.0

    @property
    def name(self) -> str:
        """What a table calls it."""
        slow = f", spokes at {self.spokes:g}" if self.spokes < 1 else ""
        return f"{self.topology} of {self.hosts}{slow}, strides of {self.stride}"

    @property
    def wrong(self) -> list[int]:
        """The wrong order."""
        return sorted(range(self.hosts), key=lambda host: (host % self.stride, host))

    def job(self, order: str | list[int]) -> Job:
        """Return the job of a ring all-reduce after a short backward pass.

        Args:
            order: of the ring, `auto` for the right one.
        """
        network: dict[str, Any] = {
            "topology": self.topology,
            "link": "ethernet-1",
            "bandwidth": _RATE,
            "multipath": "one",
        }
        if self.spokes < 1:
            network["degraded"] = [
                {"link": [0, rim], "factor": self.spokes}
                for rim in range(3, self.hosts)
            ]
        mapping = {
            "model": {"family": "mlp", "widths": [_WIDTH] * 5},
            "batch": {"global": self.hosts, "micro": 1},
            "training": {"precision": "fp32", "optimizer": "sgd"},
            "synchronization": {
                "algorithm": "ring",
                "overlap": False,
                "ring_order": order,
            },
            "cluster": {
                "device": "gtx-580",
                "profile": "gloo-emulated",
                "nodes": self.hosts,
                "network": network,
            },
        }
        return prepare(Plan.from_mapping(mapping), is_folded=False)


CASES = (
    Case("wheel", 8, 2),
    Case("wheel", 8, 2, 0.5),
    Case("wheel", 6, 3, 0.4),
    Case("ring", 8, 2),
    Case("ring", 7, 3),
)


class Factor(NamedTuple):
    """How much slower a wrong order is.

    Fields:
        case: of the graph.
        predicted, measured: times of the right and of the wrong order [s].
    """

    case: Case
    predicted: tuple[Seconds, Seconds]
    measured: tuple[Seconds, Seconds]

    @property
    def predicted_factor(self) -> Ratio:
        """Wrong over right, as predicted."""
        return self.predicted[1] / self.predicted[0]

    @property
    def measured_factor(self) -> Ratio:
        """Wrong over right, for real."""
        return self.measured[1] / self.measured[0]


def measure(
    cases: Sequence[Case], repeats: Count, show: Callable[[Factor], None]
) -> list[Factor]:
    """Return the factors of some cases.

    Args:
        cases: graphs.
        repeats: steps of each order [1].
        show: called after each.
    """
    found = []
    for case in cases:
        jobs = [case.job("auto"), case.job(case.wrong)]
        right, wrong = (run(job, "event").step_time for job in jobs)
        times = [run_timed(job, repeats=repeats).step_time for job in jobs]
        found.append(Factor(case, (right, wrong), (times[0], times[1])))
        show(found[-1])
    return found


def report(factors: Iterable[Factor]) -> list[str]:
    """Return the lines of a file."""
    title = "A ring all-reduce in the right and in a wrong order, predicted and run."
    entries = (
        {
            "name": each.case.name,
            "order": each.case.wrong,
            "predicted_s": [round(time, 5) for time in each.predicted],
            "measured_s": [round(time, 5) for time in each.measured],
            "predicted_factor": round(each.predicted_factor, 4),
            "measured_factor": round(each.measured_factor, 4),
        }
        for each in factors
    )
    return [*results.head(title, "orders"), *results.rows(entries)]
