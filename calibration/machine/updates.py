"""The optimizer's update, by the bytes that the layer table says it moves."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from calibration.machine.steps import optimizer_of
from calibration.machine.timed import Job
from calibration.modules import build
from models.model import Model
from models.work import memory_work
from simulator.lowering.formats import optimizer_traffic

OPTIMIZERS = ("momentum", "adam")


def updates(
    model: Model, number_format: str, dtype: torch.dtype, device: str
) -> Iterator[Job]:
    """Yield one update of a network by every optimizer."""
    network = build(model, dtype=dtype, device=device)
    parameters = list(network.parameters())
    held = sum(each.numel() for each in parameters)
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 1e-3)
    for name in OPTIMIZERS:
        size = held * optimizer_traffic(name, number_format, number_format)
        work = memory_work("optimizer", size, function=f"{name} optimizer")
        yield Job((work,), optimizer_of(name, parameters).step, is_gradient=False)
