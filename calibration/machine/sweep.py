"""The measurement of all kernels, most valuable first, until the time is over."""

from __future__ import annotations

import itertools
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from calibration.machine.clock import Clock
from calibration.machine.formats import FORMATS
from calibration.machine.replay import Replay, replays
from calibration.machine.shapes import Grid, convolutions, products
from calibration.machine.timed import Job, Measured, passes, timed
from calibration.machine.updates import updates
from calibration.modules.placing import Placing
from calibration.modules.table import Recipe, module_of
from models.catalogue import build as build_model
from models.model import Model
from models.operators import Convolution, Linear, Lstm
from topologies.kernels import KernelTable, Point
from topologies.units import Ratio, Seconds

_AT_ONCE = 64  # calls that are timed in turn
_ALL = 10_000  # of a network
Say = Callable[[str], None]


def to_stderr(line: str) -> None:
    """Say how far the measurement is."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@dataclass(slots=True, kw_only=True)
class Sweep:
    """A measurement under way.

    Fields:
        clock: to time with.
        number_format: of the tensors.
        deadline: of `time.monotonic`, after which nothing is begun [s].
        measured: so far.
        say: told of progress.
        is_complete: whether all was measured.
    """

    clock: Clock
    number_format: str = "fp32"
    deadline: Seconds = math.inf
    measured: list[Measured] = field(default_factory=list)
    say: Say = to_stderr
    is_complete: bool = True

    @property
    def place(self) -> Placing:
        """Where the tensors are."""
        device = torch.device(self.clock.device)
        return Placing(device, FORMATS[self.number_format])

    def run(self, grid: Grid) -> None:
        """Measure what a grid names."""
        allowed = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = self.number_format == "tf32"
        try:
            self._each("products", self._products(grid))
            self._each("convolutions", self._convolutions(grid))
            for model, sizes in grid.networks:
                for samples in sizes:
                    self.network(model, samples)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = allowed

    def network(self, section: Mapping[str, Any], samples: int) -> None:
        """Measure the operators of a network one by one, and its update.

        Args:
            section: a plan's `[model]`.
            samples: of the batch [1].
        """
        model, place = layer_table(section), self.place
        name = f"operators of {model.name}, {samples} samples"
        recurrent = self._recurrent(model, samples)
        if recurrent:
            self._each(f"products in {name}", iter(recurrent))
        own = replays(model, samples, dtype=place.dtype, device=self.clock.device)
        device = self.clock.device
        step_end = updates(model, self.number_format, place.dtype, device)
        self._each(name, own, step_end, _ALL)

    def _each(
        self,
        what: str,
        found: Iterator[Replay],
        others: Iterable[Job] = (),
        at_once: int = _AT_ONCE,
    ) -> None:
        """Measure operators, and other calls, so many in turn."""
        begin, count = time.monotonic(), len(self.measured)
        element = float(self.place.dtype.itemsize)
        calls = (job for replay in found for job in passes(replay, element))
        while jobs := list(itertools.islice(itertools.chain(calls, others), at_once)):
            if time.monotonic() > self.deadline:
                self.is_complete = False
                break
            known = self.table() if any(map(_is_compound, jobs)) else None
            self.measured += timed(jobs, self.clock, known)
        seconds = time.monotonic() - begin
        points = len(self.measured) - count
        self.say(f"{self.number_format} {what}: {points} points in {seconds:.0f} s")

    def _products(self, grid: Grid) -> Iterator[Replay]:
        for operator, rows in products(grid):
            inputs = torch.randn(rows, operator.inner, **self.place._asdict())
            yield self._replay(operator, inputs.requires_grad_(), rows)

    def _convolutions(self, grid: Grid) -> Iterator[Replay]:
        for operator, samples in convolutions(grid):
            side = math.isqrt(operator.inputs // operator.channels_in)
            shape = samples, operator.channels_in, side, side
            inputs = torch.randn(shape, **self.place._asdict())
            yield self._replay(operator, inputs.requires_grad_(), samples)

    def _replay(
        self, operator: Linear | Convolution, inputs: torch.Tensor, samples: int
    ) -> Replay:
        module = module_of(operator, Recipe(self.place, 0.0))
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.02)
        return Replay(operator, module, (inputs,), samples)

    def _recurrent(self, model: Model, samples: int) -> list[Replay]:
        """Return the products inside recurrent layers, which run as one operator."""
        found = []
        layers = {id(layer): layer for layer in model.layers}.values()
        for operator in (each for layer in layers for each in layer.operators):
            if isinstance(operator, Lstm):
                gates = 4 * operator.hidden
                rows = {operator.inner: samples * operator.steps}
                for inner, count in (*rows.items(), (operator.hidden, samples)):
                    inputs = torch.randn(count, inner, **self.place._asdict())
                    product = Linear("product", 1, inner, gates)
                    found.append(self._replay(product, inputs.requires_grad_(), count))
        return found

    def table(self) -> KernelTable:
        """Return what has been measured, as curves over a roofline of its best."""
        points: dict[str, list[Point]] = {}
        for each in self.measured:
            points.setdefault(each.function, []).append(each.point)
        everything = [each.point for each in self.measured]
        return KernelTable(
            start=min(point.time for point in everything),
            rate=max(_positive(p.flop / p.time for p in everything)),
            bandwidth=max(_positive(p.size / p.time for p in everything)),
            points={name: merged(own) for name, own in points.items()},
        )

    def spread(self) -> Ratio:
        """Return the median spread of repetitions [1]."""
        return statistics.median(each.spread for each in self.measured)


def layer_table(section: Mapping[str, Any]) -> Model:
    """Return the network of a plan's `[model]`."""
    changes = {key: value for key, value in section.items() if key != "name"}
    return build_model(str(section.get("name") or section.get("family")), changes)


def merged(points: list[Point]) -> tuple[Point, ...]:
    """Return points with one for equal dimensions: the median of their times."""
    equal: dict[tuple[float, ...], list[Point]] = {}
    for point in points:
        equal.setdefault(point.dims, []).append(point)
    return tuple(
        same[0].__class__(
            dims,
            same[0].flop,
            same[0].size,
            statistics.median(point.time for point in same),
        )
        for dims, same in sorted(equal.items())
    )


def _positive(rates: Iterator[float]) -> list[float]:
    return [rate for rate in rates if rate > 0] or [1.0]


def _is_compound(job: Job) -> bool:
    """Return whether a call runs several functions, as an LSTM's does."""
    return len({work.function for work in job.works}) > 1
