"""The forward and backward passes of a step on one rank, with or without a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from calibration.torch_engine.batches import cut
from calibration.torch_engine.building import Local
from calibration.torch_engine.groups import Groups
from calibration.torch_engine.splits.pipelined import pipeline
from calibration.torch_engine.splits.plain import Loss, run_passes
from calibration.torch_engine.splits.portions import Portions
from calibration.torch_engine.task import Assignment
from simulator.lowering.sharding.rule import sharding_of

Passes = Callable[[Any, Any], list[torch.Tensor]]
"""Runs the passes on a replica's inputs and targets; returns losses, where known."""


def make_passes(
    task: Assignment,
    groups: Groups,
    local: Local,
    loss: Loss | Portions,
    ended: Mapping[int, Callable[[], None]],
) -> Passes:
    """Return what runs the passes of a step.

    Args:
        task: of the run.
        groups: of this rank.
        local: its part of the model.
        loss: of one micro-batch, or what runs layers by neurons and then it.
        ended: what is called when all gradients of a stage are there, by number.
    """
    mesh = task.plan.parallelism
    if mesh.num_stages == 1:
        return partial(_plain, task, local, loss)
    runtime = pipeline(
        modules={each.number: each.module for each in local.stages},
        rows=task.rows,
        group=groups.group("pipeline"),
        loss=partial(_part_of, loss, task.plan.num_microbatches),
        device=torch.device(task.device),
        ended=ended,
    )
    return partial(_pipelined, task, local, runtime)


def _plain(
    task: Assignment, local: Local, loss: Loss, inputs: Any, targets: Any
) -> list[torch.Tensor]:
    (stage,) = local.stages
    (row,) = task.rows
    count = task.plan.num_microbatches
    rule = sharding_of(task.plan)
    return run_passes(
        stage.module,
        row,
        cut(inputs, count),
        list(targets) if isinstance(loss, Portions) else cut(targets, count),
        loss,
        is_reduced_each=rule is not None and rule.is_reduced_each,
    )


def _pipelined(
    task: Assignment, local: Local, runtime: Any, inputs: Any, targets: Any
) -> list[torch.Tensor]:
    numbers = {stage.number for stage in local.stages}
    is_first = 0 in numbers
    is_last = task.plan.parallelism.num_stages - 1 in numbers
    losses: list[torch.Tensor] = []
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    wanted = {"target": targets, "losses": losses} if is_last else {}
    runtime.step(*(given if is_first else ()), **wanted)
    return [each * task.plan.num_microbatches for each in losses]


def _part_of(loss: Loss, count: int, outputs: Any, targets: Any) -> torch.Tensor:
    """Return what one of several micro-batches adds to the mean loss."""
    return loss(outputs, targets) / count
