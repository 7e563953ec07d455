"""Pipelines: torch's runtime follows our rows, so what was simulated is executed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage
from torch.distributed.pipelining.schedules import _Action, _PipelineScheduleRuntime

from simulator.lowering.schedules.actions import Schedule


def pipeline(  # noqa: PLR0913 - what a pipeline is made of
    *,
    modules: Mapping[int, nn.Module],
    num_stages: int,
    rows: Schedule,
    group: dist.ProcessGroup,
    loss: Callable[[Any, Tensor], Tensor],
    device: torch.device,
) -> _PipelineScheduleRuntime:
    """Return what runs the passes of a step on this rank.

    Args:
        modules: of this rank's stages, by their numbers.
        num_stages: of all ranks [1].
        rows: of the schedule, one a pipeline rank.
        group: of the pipeline.
        loss: what the last stage differentiates of one micro-batch: its part of the
            mean.
        device: of the activations.
    """
    stages = [
        PipelineStage(module, number, num_stages, device, group=group)
        for number, module in sorted(modules.items())
    ]
    num_microbatches = 1 + max(action.microbatch for action in rows[0])
    runtime = _PipelineScheduleRuntime(
        stages, num_microbatches, loss_fn=loss, scale_grads=False
    )
    runtime._prepare_schedule_with_comms(torch_actions(rows))  # noqa: SLF001 - no public way to give rows
    return runtime


def torch_actions(rows: Schedule) -> dict[int, list[Any]]:
    """Return rows in torch's words; the letters of their texts are the same."""
    return {
        rank: [_Action.from_str(str(action)) for action in row]
        for rank, row in enumerate(rows)
    }
