"""Where scaling stops paying, and why.

Points that can run are ordered by devices; of several with equally many, the one with
the most samples per second stands for its size. Between neighbours of N_a < N_b
devices and R_a, R_b samples per second, the gain per doubling is

    g = (R_b / R_a) ^ (log 2 / log (N_b / N_a))

so 2 is perfect and 1 is nothing, whatever the step between the sizes; g - 1 is the
marginal efficiency. Scaling stops paying at the last point before the first step with
g < 1.5: beyond it, devices added bring less than half of what they cost.

Why: a part of the step that takes t seconds costs N t / B device-seconds a sample (B,
global batch). Under perfect scaling these costs stay what they are, and they add up to
N / R. So the growth of N / R over the step that does not pay is divided exactly among
the parts, and the reason is the part that grew most.

Source: derived above; the threshold is a convention of this project.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from itertools import pairwise
from math import log

from simulator.results.metrics import Breakdown
from simulator.scaling.points import Measures, Point, are_alike
from topologies.units import Ratio, Seconds

PAYING_GAIN: Ratio = 1.5
PARTS = tuple(field.name for field in fields(Breakdown))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What happens between two neighbouring sizes.

    Fields:
        before, after: the two points.
        gain: factor of throughput between them [1].
        gain_per_doubling: the same for twice the devices; 2 is perfect [1].
        part: of the step, whose cost per sample grew most, such as `bubble_s`.
        cost_before, cost_after: of that part, per sample [device-seconds].
        share: of the whole growth that this part is; 0 where nothing grew [1].
    """

    before: Point
    after: Point
    gain: Ratio
    gain_per_doubling: Ratio
    part: str
    cost_before: Seconds
    cost_after: Seconds
    share: Ratio

    @property
    def pays(self) -> bool:
        """Whether doubling the devices gives at least 1.5 times the throughput."""
        return self.gain_per_doubling >= PAYING_GAIN


def sizes(points: Iterable[Point]) -> list[tuple[Point, Measures]]:
    """Return the fastest point that can run at each number of devices, ascending."""
    best: dict[int, tuple[Point, Measures]] = {}
    for point in points:
        found = point.measures
        if found is None or not point.is_feasible:
            continue
        known = best.get(found.devices)
        if known is None or found.samples_per_s > known[1].samples_per_s:
            best[found.devices] = (point, found)
    return [best[devices] for devices in sorted(best)]


def steps(points: Iterable[Point]) -> list[Step]:
    """Return what happens between each two neighbouring sizes."""
    return [step_between(a, b) for a, b in pairwise(sizes(points))]


def stop(points: Iterable[Point]) -> Step | None:
    """Return the first step that does not pay; None if all do, or models differ."""
    found = tuple(points)
    if not are_alike(found):
        return None
    return next((step for step in steps(found) if not step.pays), None)


def step_between(before: tuple[Point, Measures], after: tuple[Point, Measures]) -> Step:
    """Return what happens between two points, the second with more devices."""
    (first, a), (second, b) = before, after
    gain = b.samples_per_s / a.samples_per_s
    growth = {
        part: b.device_seconds_per_sample(part) - a.device_seconds_per_sample(part)
        for part in PARTS
    }
    part = max(PARTS, key=growth.__getitem__)
    lost = b.devices / b.samples_per_s - a.devices / a.samples_per_s
    return Step(
        before=first,
        after=second,
        gain=gain,
        gain_per_doubling=gain ** (log(2) / log(b.devices / a.devices)),
        part=part,
        cost_before=a.device_seconds_per_sample(part),
        cost_after=b.device_seconds_per_sample(part),
        share=growth[part] / lost if lost > 0 else 0.0,
    )
