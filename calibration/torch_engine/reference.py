"""What one process learns from the same data: the answer that every split has to give.

It knows nothing of meshes, groups or schedules. All micro-batches of all replicas run
one after the other, and their gradients add up.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from calibration.modules import build, example_batch, loss
from calibration.torch_engine.building import FORMATS
from calibration.torch_engine.rank import Member
from calibration.torch_engine.task import Assignment
from calibration.torch_engine.training import cut, in_format, make_optimizer


def reference(task: Assignment, member: Member) -> dict[str, Any]:
    """Return the parameters after as many steps as a split run does, by name."""
    del member
    plan = task.plan
    model = plan.build_model()
    dtype = FORMATS[plan.training.precision]
    network = build(model, dtype=dtype, device=task.device, seed=task.seed)
    optimizer = make_optimizer(plan, list(network.parameters()))
    count = plan.batch.global_ // plan.batch.micro
    wanted = loss(model)
    for number in range(task.warm_up + 1 + task.steps):
        batch = example_batch(model, plan.batch.global_, seed=task.seed + number)
        optimizer.zero_grad(set_to_none=True)
        for inputs, targets in zip(*(cut(each, count) for each in batch), strict=True):
            given = in_format(inputs, dtype)
            outputs = network(*given) if isinstance(given, tuple) else network(given)
            (wanted(outputs, targets) / count).backward()
        optimizer.step()
    named = network.named_parameters(remove_duplicate=False)  # a copy has its own
    return {name: values(each) for name, each in named}


def values(parameter: nn.Parameter) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the numbers of a parameter."""
    numbers: np.ndarray[Any, np.dtype[np.float32]] = (
        parameter.detach().float().cpu().numpy()
    )
    return numbers


def deviation(learnt: dict[str, Any], right: dict[str, Any]) -> float:
    """Return how far parameters are off, as a part of the largest of each tensor.

    Args:
        learnt: by a rank, which may hold some of them only.
        right: of the reference.
    """
    return max(
        float(np.abs(own - right[name]).max() / max(np.abs(right[name]).max(), 1e-3))
        for name, own in learnt.items()
    )
