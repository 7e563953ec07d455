"""A step without a pipeline: the micro-batches of one replica, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from simulator.lowering.schedules.actions import Row

Loss = Callable[[Any, Any], Tensor]


def run_passes(  # noqa: PLR0913 - what a step is made of
    module: nn.Module,
    row: Row,
    inputs: list[Any],
    targets: list[Any],
    loss: Loss,
    *,
    is_reduced_each: bool = False,
) -> list[Tensor]:
    """Run a row of passes; gradients are those of the mean loss.

    Args:
        module: the whole model.
        row: its forward and backward passes, in order.
        inputs, targets: by micro-batch.
        loss: of one micro-batch.
        is_reduced_each: whether ranks that divide gradients sum them in each pass.
    """
    num_microbatches = len(inputs)
    last = [action for action in row if action.kind == "B"][-1]
    waiting: dict[int, Tensor] = {}
    losses = []
    for action in row:
        number = action.microbatch
        is_synced = number == last.microbatch
        with _synced(module, is_synced=is_synced):
            if action.kind == "F":
                waiting[number] = loss(_called(module, inputs[number]), targets[number])
                losses.append(waiting[number].detach())
            else:
                if isinstance(module, FSDPModule):
                    is_reduced = is_synced or is_reduced_each
                    module.set_requires_gradient_sync(is_reduced)
                (waiting.pop(number) / num_microbatches).backward()
    return losses


def _called(module: nn.Module, values: Any) -> Any:
    return module(*values) if isinstance(values, tuple) else module(values)


def _synced(module: nn.Module, *, is_synced: bool) -> Any:
    """Return a context in which gradients stay on the rank, if they are not the last.

    DDP decides in forward whether the backward of that pass will send.
    """
    if isinstance(module, DistributedDataParallel) and not is_synced:
        return module.no_sync()
    return nullcontext()
