"""A replica's samples of a step, the same whatever the split."""

from __future__ import annotations

from typing import Any

import torch

from calibration.modules import example_batch
from calibration.modules.batch import Batch
from calibration.torch_engine.building import FORMATS, Local, token_places
from calibration.torch_engine.groups import Groups
from calibration.torch_engine.task import Assignment
from models.model import Model


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
    if task.samples is None:
        batch = whole_batch(task, local.model, number)
        inputs, targets = (cut(each, replicas)[groups.data] for each in batch)
        all_targets = batch[1]
    else:
        places = _places(task, number)
        own = cut(torch.tensor(places), replicas)[groups.data].tolist()
        inputs, targets = (
            torch.from_numpy(each(own)).to(task.device)
            for each in (task.samples.inputs, task.samples.targets)
        )
        all_targets = torch.from_numpy(task.samples.targets(places)).to(task.device)
    if local.neurons is not None:
        targets = of_all(all_targets, replicas, plan.num_microbatches)
    if plan.parallelism.context > 1:
        own = token_places(plan)[groups.context]
        inputs, targets = inputs[:, own], targets[:, own]
    return in_format(inputs, FORMATS[plan.training.precision]), targets


def whole_batch(task: Assignment, model: Model, number: int) -> Batch:
    """Return the samples of all replicas in a step, and what they should give."""
    if task.samples is None:
        size, seed = task.plan.batch.global_, task.seed + number
        return example_batch(model, size, seed=seed, device=task.device)
    places = _places(task, number)
    both = task.samples.inputs(places), task.samples.targets(places)
    inputs, targets = (torch.from_numpy(each).to(task.device) for each in both)
    return inputs, targets


def _places(task: Assignment, number: int) -> list[int]:
    """Return where the samples of a step are among those of the run."""
    size = task.plan.batch.global_
    return list(range(number * size, (number + 1) * size))


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
