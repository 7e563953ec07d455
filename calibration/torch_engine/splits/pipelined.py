"""Pipelines: torch's runtime follows our rows, so what was simulated is executed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage
from torch.distributed.pipelining.schedules import _PipelineScheduleRuntime
from torch.nn.parallel import DistributedDataParallel
from typing_extensions import override

from calibration.torch_engine.splits.worded import Ways, torch_rows, ways_of
from simulator.lowering.schedules.actions import Schedule


def pipeline(  # noqa: PLR0913 - what a pipeline is made of
    *,
    modules: Mapping[int, nn.Module],
    rows: Schedule,
    group: dist.ProcessGroup,
    loss: Callable[[Any, Tensor], Tensor],
    device: torch.device,
    ended: Mapping[int, Callable[[], None]],
) -> _PipelineScheduleRuntime:
    """Return what runs the passes of a step on this rank.

    Args:
        modules: of this rank's stages, by their numbers.
        rows: of the schedule, one a pipeline rank.
        group: of the pipeline.
        loss: what the last stage differentiates of one micro-batch: its part of the
            mean.
        device: of the activations.
        ended: what is called when all gradients of a stage are there, by number.
    """
    ways = ways_of(rows)
    stages = [
        _Stage(modules[stage], ways, ways.number(stage, way), device, group)
        for way, stage in ways.stages(group.rank())
    ]
    runtime = _Runtime(stages, len(ways.of), loss_fn=loss, scale_grads=False)
    runtime.stage_index_to_group_rank = ways.ranks()
    for each in stages:
        each.ended = ended.get(each.place)
        each.stage_index_to_group_rank = runtime.stage_index_to_group_rank
    runtime.pipeline_order_with_comms = torch_rows(rows, ways)
    return runtime


class _Stage(PipelineStage):
    """A stage of one way: each way has a first and a last.

    Fields:
        place: its number in the model.
        length: of the way [1].
        ended: called when all of its gradients are there.
    """

    def __init__(
        self,
        module: nn.Module,
        ways: Ways,
        number: int,
        device: torch.device,
        group: dist.ProcessGroup,
    ) -> None:
        self.stage_index: int = number
        self.place = number % (ways.num_stages + 1)
        self.length = ways.num_stages
        self.ended: Callable[[], None] | None = None
        room = ways.number(ways.num_stages, len(ways.paths))
        super().__init__(module, number, room, device, group=group)

    @property
    @override
    def is_first(self) -> bool:
        """Whether micro-batches begin here."""
        return self.place == 0

    @property
    @override
    def is_last(self) -> bool:
        """Whether their losses are known here."""
        return self.place == self.length - 1

    @override
    def backward_weight_one_chunk(
        self, bwd_chunk_id: int, last_backward: bool = False
    ) -> None:
        """Compute gradients of weights; where a way begins, torch asks for number 0."""
        number = self.stage_index
        if self.is_first:
            self.stage_index = 0
        super().backward_weight_one_chunk(bwd_chunk_id, last_backward)
        self.stage_index = number

    @override
    def perform_reduce_grad(self, grad_scale_factor: int) -> None:
        """Sum gradients over replicas, all of them being there."""
        super().perform_reduce_grad(grad_scale_factor)
        if self.ended is not None:
            self.ended()

    @override
    def _prepare_forward_infra(self, *args: Any, **options: Any) -> Any:
        """Try the stage; DDP would take the trial for the beginning of a backward."""
        is_replicated = isinstance(self.submod, DistributedDataParallel)
        with self.submod.no_sync() if is_replicated else nullcontext():
            return super()._prepare_forward_infra(*args, **options)


class _Runtime(_PipelineScheduleRuntime):
    """Torch's runtime, where a rank may know the losses of some micro-batches only.

    Fields:
        found: losses by micro-batch.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.found: dict[int, Tensor] = {}

    @override
    def _maybe_compute_loss(
        self,
        stage: Any,
        output: Any,
        target_mbs: Any,
        mb_index: int,
        loss_kwargs: Any = None,
    ) -> None:
        if stage.is_last:
            loss = self._compute_loss(output, target_mbs[mb_index], loss_kwargs)
            self.found[mb_index] = loss

    @override
    def _maybe_get_loss(self, stage: Any, mb_index: int) -> Tensor | None:
        return self.found[mb_index] if stage.is_last else None

    @override
    def _update_losses(self, stages: Any, losses: list[Tensor] | None) -> None:
        if losses is not None:
            losses[:] = self.found.values()
        self.found.clear()
