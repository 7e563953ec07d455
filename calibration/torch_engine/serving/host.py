"""The host of a node: it adds its devices' gradients, and may be a server.

Its steps are those of the workers, bucket by bucket in the order of their backward.

Limits: it waits through their passes, and no longer than one rank waits for another.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.distributed as dist

from calibration.modules import Part, build
from calibration.torch_engine.building import FORMATS
from calibration.torch_engine.groups import Groups
from calibration.torch_engine.looking import looked_at
from calibration.torch_engine.recording import Recorder
from calibration.torch_engine.serving.keeper import Keeper
from calibration.torch_engine.serving.layout import layout_of, ways_of
from calibration.torch_engine.serving.levels import Moving, Way, kept, pull, push
from calibration.torch_engine.serving.pieces import Pieces
from calibration.torch_engine.task import Assignment, Report, Spans
from simulator.lowering.states import kept_precision


class _Path:
    """One way that leads here, and what is kept at its end."""

    def __init__(self, way: Way, pushes: list[Pieces], pulls: list[Pieces]) -> None:
        self.way, self.pushes, self.pulls = way, pushes, pulls
        self.keeps = [kept(way, each) for each in pushes]


class Host:
    """A process that adds and keeps parameters; it computes nothing else."""

    def __init__(
        self, task: Assignment, rank: int, groups: Groups, group: dist.ProcessGroup
    ) -> None:
        """Take this host's part of the parameters.

        Args:
            task: of the run.
            rank: of this process.
            groups: of the workers; this rank is in none.
            group: of all workers and servers.
        """
        plan = task.plan
        dtype = FORMATS[kept_precision(plan)]
        network = build(plan.build_model(), dtype=dtype, seed=task.seed)
        part = Part(network, range(len(network.layers)))
        self._layout = layout_of(plan, part)
        ways = ways_of(task, rank, self._layout, part, group)
        pushes, pulls = self._layout.pushes, self._layout.pulls
        self._groups = groups
        self._paths: list[tuple[_Path, Keeper]] = []
        for way, device in ways.of_host():
            path = _Path(
                way,
                [ways.pieces(each, device) for each in pushes],
                [ways.pieces(each, device) for each in pulls],
            )
            keeper = Keeper(plan, self._layout.parameters, path.keeps)
            self._paths.append((path, keeper))

    def ready(self, number: int) -> Callable[[], None]:
        """Return the workers' step of that number, to be served."""
        del number
        return self._step

    def _step(self) -> None:
        self.settle()
        for bucket in range(len(self._layout.buckets)):
            for path, keeper in self._paths:
                pieces = path.pushes[bucket]
                summed = Moving(push(path.way, None, pieces, self._layout.pushed)).end()
                if summed is not None:
                    keeper.update(bucket, summed)
                if not self._layout.segments:
                    self._give(path, keeper, pieces)

    def settle(self) -> None:
        """Give out what workers ask for before a forward."""
        for number in range(len(self._layout.segments)):
            for path, keeper in self._paths:
                self._give(path, keeper, path.pulls[number])

    def record(self, number: int) -> Recorder:
        """Serve one step and return what was recorded of it."""
        recorder = Recorder(self._groups.axes, self._groups.carriers)
        kept_here = [each.parameters for _, each in self._paths]
        states = [
            list(optimizer.state.values())
            for _, keeper in self._paths
            for optimizer in keeper.optimizers
            if optimizer is not None
        ]
        recorder.hold([kept_here, states])
        with recorder:
            self.ready(number)()
        return recorder

    def looked_at(self, number: int) -> Spans:
        """Serve one step and return what this rank did when."""
        return looked_at(self.ready(number))

    def close(self) -> None:
        """End; nothing here outlives a step."""

    def report(
        self, recorder: Recorder, times: tuple[float, ...], spans: Spans
    ) -> Report:
        """Return what is known at the end."""
        self.settle()
        return Report(
            calls=recorder.calls,
            carried=recorder.carried,
            flop=recorder.flop,
            parameters=int(sum(keeper.count for _, keeper in self._paths)),
            memory_peak=recorder.peak,
            times=times,
            spans=spans,
        )

    def _give(self, path: _Path, keeper: Keeper, pieces: Pieces) -> None:
        dtype = self._layout.pulled
        own = keeper.values(kept(path.way, pieces), dtype)
        Moving(pull(path.way, own, pieces, dtype)).end()
