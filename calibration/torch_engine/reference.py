"""What one process learns from the same data: the answer that every split has to give.

It knows nothing of meshes, groups or schedules. All micro-batches of all replicas run
one after the other, and their gradients add up.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from calibration.modules import Network, build, loss
from calibration.torch_engine.batches import cut, in_format, of_all, whole_batch
from calibration.torch_engine.building import FORMATS
from calibration.torch_engine.optimizers import make_optimizer
from calibration.torch_engine.rank import Member
from calibration.torch_engine.splits.portions import num_portions, samples_of
from calibration.torch_engine.task import Assignment
from simulator.plans.fields import DenseScheme
from simulator.plans.layer_choices import layers_by_neurons, portion_rule


def reference(task: Assignment, member: Member) -> dict[str, Any]:
    """Return the parameters after as many steps as a split run does, by name."""
    del member
    plan = task.plan
    model = plan.build_model()
    dtype = FORMATS[plan.training.precision]
    network = build(model, dtype=dtype, device=task.device, seed=task.seed)
    rule = portion_rule(plan.parallelism, model)
    if rule is not None and rule.updates == "each-portion":
        return by_portions(task, network, rule.scheme or "in-turn")
    optimizer = make_optimizer(plan, list(network.parameters()))
    count = plan.batch.global_ // plan.batch.micro
    wanted = loss(model)
    for number in range(_steps(task)):
        batch = whole_batch(task, model, number)
        optimizer.zero_grad(set_to_none=True)
        for inputs, targets in zip(*(cut(each, count) for each in batch), strict=True):
            given = in_format(inputs, dtype)
            outputs = network(*given) if isinstance(given, tuple) else network(given)
            (wanted(outputs, targets) / count).backward()
        optimizer.step()
    return named_values(network)


def by_portions(
    task: Assignment, network: Network, scheme: DenseScheme
) -> dict[str, Any]:
    """Return the parameters where dense weights change after every portion.

    A portion passes through the whole network, and the dense layers learn from it at
    once; the others learn from the sum of all, as they were when the step began.

    Args:
        task: as of the ranks.
        network: to be trained.
        scheme: which samples a portion has.
    """
    plan = task.plan
    replicas, micro = plan.parallelism.data, plan.num_microbatches
    number_dense = len(layers_by_neurons(plan.parallelism, network.model))
    dense = list(network.layers[-number_dense:].parameters())
    others = list(network.layers[:-number_dense].parameters())
    fast, slow = make_optimizer(plan, dense), make_optimizer(plan, others)
    wanted, dtype = loss(network.model), next(network.parameters()).dtype
    count = num_portions(scheme, replicas)
    for number in range(_steps(task)):
        batch = whole_batch(task, network.model, number)
        slow.zero_grad(set_to_none=True)
        for pair in zip(
            *(of_all(each, replicas, micro) for each in batch), strict=True
        ):
            for portion in range(count):
                inputs, targets = (samples_of(each, scheme, portion) for each in pair)
                fast.zero_grad(set_to_none=True)
                wanted(network(in_format(inputs, dtype)), targets).backward()
                fast.step()
        for parameter in others:
            parameter.grad = parameter.grad / (micro * count)
        slow.step()
    return named_values(network)


def _steps(task: Assignment) -> int:
    """Return how many optimizer steps a split run does [1]."""
    return task.warm_up + 1 + task.steps


def named_values(network: Network) -> dict[str, Any]:
    """Return the numbers of all parameters by name."""
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
