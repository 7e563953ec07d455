"""ZeRO-1: every parameter tensor has one rank that keeps its state and updates it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import nn


def divide_state(
    parameters: list[nn.Parameter],
    group: dist.ProcessGroup,
    kind: type[torch.optim.Optimizer],
    **settings: Any,
) -> torch.optim.Optimizer:
    """Return an optimizer whose state the ranks of a group divide.

    Args:
        parameters: of this rank, whole.
        group: of ranks with the same parameters.
        kind: the optimizer of each part.
        settings: of that.
    """
    # Loading it warns of torch.jit, which nobody uses here.
    from torch.distributed.optim import ZeroRedundancyOptimizer  # noqa: PLC0415

    divided: torch.optim.Optimizer = ZeroRedundancyOptimizer(
        parameters, optimizer_class=kind, process_group=group, **settings
    )
    return divided


class Owners:
    """Optimizers with divided states as one: of what different groups have the same."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        """Take them together.

        Args:
            parts: of parameters of their own each.
        """
        self.parts = parts

    @property
    def state(self) -> dict[Any, Any]:
        """What this rank keeps of all states."""
        kept: dict[Any, Any] = {}
        for each in self.parts:
            kept |= getattr(each, "optim", each).state
        return kept

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for each in self.parts:
            each.zero_grad()

    def step(self) -> None:
        """Change all parameters."""
        for each in self.parts:
            each.step()
