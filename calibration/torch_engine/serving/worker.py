"""A worker of parameter servers, which stands where a rank has its optimizer.

Gradients are pushed as their buckets fill. Parameters come back at once, or before
forwards need them; a rank that only sends posts its receives early, others go on where
the backward has ended: between devices that add, sums are not hidden.

Limits: on a GPU all messages pass through the memory of its host.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.profiler import record_function

from calibration.modules import Part
from calibration.torch_engine.recording import Recorder
from calibration.torch_engine.serving.keeper import Keeper
from calibration.torch_engine.serving.layout import layout_of, ways_of
from calibration.torch_engine.serving.levels import (
    Moving,
    is_only_sending,
    kept,
    pull,
    push,
)
from calibration.torch_engine.serving.pieces import Pieces, packed, unpack
from calibration.torch_engine.splits.filling import Filling
from calibration.torch_engine.task import Assignment


class Worker:
    """Pushes a rank's gradients and pulls its parameters; used as an optimizer is.

    Fields:
        recorder: told of every push and pull; None where nothing is recorded.
    """

    def __init__(
        self, task: Assignment, rank: int, part: Part, group: dist.ProcessGroup
    ) -> None:
        """Listen to the gradients of a model.

        Args:
            task: of the run.
            rank: of this worker.
            part: the whole model.
            group: of all workers and servers.
        """
        self.recorder: Recorder | None = None
        self._layout = layout_of(task.plan, part)
        self._way = ways_of(task, rank, self._layout, part, group).of_worker()
        self._pushes, self._pulls = self._layout.pushes, self._layout.pulls
        own = [kept(self._way, each) for each in self._pushes]
        self._keeper = Keeper(task.plan, self._layout.parameters, own)
        self._replicas = task.plan.parallelism.replicas
        self._pushing: list[Moving] = []
        self._pulling: list[tuple[Pieces, Moving]] = []
        buckets = self._layout.buckets
        Filling(buckets, task.plan.num_microbatches, self._push)
        for layers in self._layout.segments:
            layers[0].register_forward_pre_hook(self._before_segment)

    @property
    def state(self) -> dict[Any, Any]:
        """What is kept here beside parameters: where devices add, servers' state."""
        found: dict[Any, Any] = {}
        for each in self._keeper.optimizers:
            found |= each.state if each is not None else {}
        return found

    def zero_grad(self) -> None:
        """Drop the gradients, and ask for what the coming forward needs."""
        for parameter in self._layout.parameters:
            parameter.grad = None
        for pieces in self._pulls:
            self._pull(pieces)

    def step(self) -> None:
        """End what is under way, so that all that was pushed is pulled, if at once."""
        for number, moving in enumerate(self._pushing):
            summed = _ended("push", moving)
            if summed is not None:
                self._keeper.update(number, summed)
            if not self._pulls and not is_only_sending(self._way):
                self._pull(self._pushes[number])
                self._end_pull()
        self._pushing = []
        while self._pulling:
            self._end_pull()

    def settle(self) -> None:
        """Pull what is new, if the next forward would have."""
        for pieces in self._pulls:
            self._pull(pieces)
            self._end_pull()

    def _push(self, number: int) -> None:
        pieces = self._pushes[number]
        gradients = [each.grad for each in self._layout.parameters]
        values = packed(
            [_there(each) for each in gradients], pieces, self._layout.pushed
        )
        self._tell("push", values)
        moving = Moving(push(self._way, values, pieces, self._layout.pushed))
        self._pushing.append(moving)
        if not self._pulls and is_only_sending(self._way):
            self._pull(pieces)

    def _pull(self, pieces: Pieces) -> None:
        dtype = self._layout.pulled
        size = sum(each.length for each in pieces)
        self._tell("pull", torch.empty(size, dtype=dtype, device="meta"))
        own = self._keeper.values(kept(self._way, pieces), dtype)
        self._pulling.append((pieces, Moving(pull(self._way, own, pieces, dtype))))

    def _end_pull(self) -> None:
        pieces, moving = self._pulling.pop(0)
        values = _ended("pull", moving)
        assert values is not None, "a worker gets what it asks for"
        unpack(values, self._layout.parameters, pieces)

    def _before_segment(self, layer: nn.Module, inputs: Any) -> None:
        """Wait for the parameters of a segment before the first of its layers."""
        del layer, inputs
        if self._pulling:
            self._end_pull()

    def _tell(self, pattern: str, message: torch.Tensor) -> None:
        if self.recorder is not None:
            self.recorder.count(pattern, "data", self._replicas, message.nbytes)


def _ended(pattern: str, moving: Moving) -> torch.Tensor | None:
    """Return what a message brought, waiting for it under a name that is looked for."""
    with record_function(f"served:{pattern}"):
        return moving.end()


def _there(gradient: torch.Tensor | None) -> torch.Tensor:
    return torch.empty(0) if gradient is None else gradient
