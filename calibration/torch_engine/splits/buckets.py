"""Gradients of a stage summed bucket by bucket, once its last backward pass is done.

What DDP does, for passes of which it learns nothing: torch's second part of a backward
pass lays gradients down without a hook. So buckets leave when all of the stage's are
there, beside the passes of other stages, and not layer by layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from calibration.modules import LayerModule, Part
from calibration.torch_engine.splits.ending import Sum, begin_sum
from calibration.torch_engine.splits.replicas import Copies
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


def in_buckets(part: Part, size: Bytes, others: set[int]) -> list[list[nn.Parameter]]:
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
