"""A replica's samples of a step, the same whatever the split."""

from __future__ import annotations

from typing import Any

import torch

from calibration.modules import example_batch
from calibration.torch_engine.building import FORMATS, Local, token_places
from calibration.torch_engine.groups import Groups
from calibration.torch_engine.task import Assignment


def own_batch(
    task: Assignment, local: Local, groups: Groups, number: int
) -> tuple[Any, Any]:
    """Return this rank's samples of a step, and what it should have put out.

    Args:
        task: of the run.
        local: this rank's part of the model.
        groups: of this rank.
        number: of the step.
    """
    plan = task.plan
    replicas = plan.parallelism.data
    batch = example_batch(
        local.model, plan.batch.global_, seed=task.seed + number, device=task.device
    )
    inputs, targets = (cut(each, replicas)[groups.data] for each in batch)
    if local.neurons is not None:
        targets = of_all(batch[1], replicas, plan.num_microbatches)
    if plan.parallelism.context > 1:
        own = token_places(plan)[groups.context]
        inputs, targets = inputs[:, own], targets[:, own]
    return in_format(inputs, FORMATS[plan.training.precision]), targets


def cut(values: Any, count: int) -> list[Any]:
    """Return equal parts of a batch."""
    if isinstance(values, tuple):
        return list(zip(*(cut(each, count) for each in values), strict=True))
    return list(values.chunk(count))


def of_all(values: torch.Tensor, replicas: int, count: int) -> torch.Tensor:
    """Return a batch as micro-batches x replicas x samples of each."""
    return torch.unflatten(values, 0, (replicas, count, -1)).transpose(0, 1)


def in_format(values: Any, dtype: torch.dtype) -> Any:
    """Return inputs in a number format; whole numbers stay what they are."""
    if isinstance(values, tuple):
        return tuple(in_format(each, dtype) for each in values)
    return values.to(dtype) if values.is_floating_point() else values
