"""The measurement of all kernels, most valuable first, until the time is over."""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from calibration.machine.clock import Clock
from calibration.machine.formats import FORMATS
from calibration.machine.replay import Replay, replays
from calibration.machine.shapes import Grid, convolutions, products
from calibration.machine.timed import Measured, timed
from calibration.machine.updates import updates
from calibration.modules.placing import Placing
from calibration.modules.table import Recipe, module_of
from models.catalogue import build as build_model
from models.model import Model
from models.operators import Convolution, Linear
from models.work import Share
from topologies.kernels import KernelTable, Point
from topologies.units import Ratio, Seconds

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
                own = self._network(dict(model), sizes)
                self._each(f"operators of {_named(dict(model))}", own)
                self._updates(dict(model))
        finally:
            torch.backends.cuda.matmul.allow_tf32 = allowed

    def _each(self, what: str, found: Iterator[Replay]) -> None:
        begin, count = time.monotonic(), len(self.measured)
        for replay in found:
            if time.monotonic() > self.deadline:
                self.is_complete = False
                break
            known = self.table() if _is_compound(replay) else None
            share = Share(replay.samples, element=float(self.place.dtype.itemsize))
            self.measured += timed(replay, self.clock, share, known)
        seconds = time.monotonic() - begin
        points = len(self.measured) - count
        self.say(f"{self.number_format} {what}: {points} points in {seconds:.0f} s")

    def _updates(self, model: dict[str, object]) -> None:
        if time.monotonic() < self.deadline:
            table, dtype = network(model), self.place.dtype
            self.measured += updates(table, self.number_format, dtype, self.clock)

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

    def _network(self, model: dict[str, object], sizes: tuple[int, ...]) -> Iterator[Replay]:
        for samples in sizes:
            yield from replays(
                network(model),
                samples,
                dtype=self.place.dtype,
                device=self.clock.device,
            )

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


def network(model: dict[str, object]) -> Model:
    """Return the layer table of a plan's `[model]`."""
    changes = {key: value for key, value in model.items() if key != "name"}
    return build_model(_named(model), changes)


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


def _named(model: dict[str, object]) -> str:
    return str(model.get("name") or model.get("family"))


def _is_compound(replay: Replay) -> bool:
    """Return whether an operator is made of several functions, such as an LSTM."""
    share = Share(1)
    return len({work.function for work in replay.operator.forward(share)}) > 1


