"""Gradients of a stage summed bucket by bucket, once its last backward pass is done.

What DDP does, for passes of which it learns nothing: torch's second part of a backward
pass lays gradients down without a hook. So buckets leave when all of the stage's are
there, beside the passes of other stages, and not layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import nn

from calibration.modules import LayerModule, Part
from calibration.torch_engine.building import FORMATS, Local
from calibration.torch_engine.splits.ending import Sum, begin_sum
from calibration.torch_engine.splits.replicas import Copies
from simulator.lowering.schedules.table import DESIGNS
from simulator.plan import Plan
from topologies.units import Bytes


class Buckets:
    """The buckets of one stage, and their sums that are under way."""

    def __init__(
        self,
        buckets: Sequence[Sequence[nn.Parameter]],
        copies: Copies,
        dtype: torch.dtype,
    ) -> None:
        """Prepare sums.

        Args:
            buckets: parameters that are sent together.
            copies: the replicas, and what sums between them.
            dtype: in which gradients are sent.
        """
        self.buckets, self.copies, self.dtype = buckets, copies, dtype
        self._sums: list[Sum] = []

    def launch(self) -> None:
        """Begin to average the gradients of all buckets."""
        self._sums = [
            begin_sum(bucket, self.copies, self.dtype, self.copies.group.size())
            for bucket in self.buckets
        ]

    def land(self) -> None:
        """Wait for them, and lay them down; begin now if nobody has."""
        if not self._sums:
            self.launch()
        for each in self._sums:
            each.finish()
        self._sums.clear()


def stage_buckets(
    plan: Plan, local: Local, copies: Copies | None
) -> dict[int, Buckets]:
    """Return what sums the gradients of each stage, by its number, where DDP does not.

    Args:
        plan: of the step.
        local: stages of this rank.
        copies: the replicas; None if there is one.
    """
    mesh = plan.parallelism
    is_late = mesh.zero > 1 or not plan.synchronization.overlap
    if copies is None or is_late or not DESIGNS[mesh.schedule].has_parts:
        return {}
    left = {id(each) for each in local.experts}
    found = {}
    for stage in local.stages:
        buckets = _in_buckets(stage.part, plan.synchronization.bucket, left)
        wide = FORMATS[plan.training.gradient_precision]
        found[stage.number] = Buckets(buckets, copies, wide)
        left |= {id(each) for each in stage.part.parameters()}
    return found


def launches(
    local: Local, buckets: Mapping[int, Buckets]
) -> dict[int, Callable[[], None]]:
    """Return what begins the sums of each stage when its gradients are there.

    A table of two stages of this rank has its own only at the end of all.

    Args:
        local: stages of this rank.
        buckets: of the stages, by number.
    """
    stages = [{id(each) for each in stage.part.parameters()} for stage in local.stages]
    if sum(map(len, stages)) > len(set().union(*stages)):
        return {}
    return {number: each.launch for number, each in buckets.items()}


def _in_buckets(part: Part, size: Bytes, others: set[int]) -> list[list[nn.Parameter]]:
    """Return the parameters of a stage by bucket, as DDP would have them.

    Args:
        part: the stage.
        size: that closes a bucket [B].
        others: by `id`, parameters that go by themselves.
    """
    closed: list[list[nn.Parameter]] = []
    filled: list[nn.Parameter] = []
    for parameter in _backwards(part):
        if id(parameter) in others:
            continue
        filled.append(parameter)
        if sum(each.nbytes for each in filled) >= size:
            closed.append(filled)
            filled = []
    return [*closed, filled] if filled else closed


def _backwards(part: Part) -> Iterator[nn.Parameter]:
    """Yield parameters in the order of their gradients: a matrix' bias comes first."""
    seen: set[int] = set()
    for layer in reversed(list(part.layers.values())):
        modules = list(layer.children()) if isinstance(layer, LayerModule) else [layer]
        for module in reversed(modules):
            own = list(module.parameters())
            for each in reversed(own) if isinstance(module, nn.Linear) else own:
                if id(each) not in seen:
                    seen.add(id(each))
                    yield each
