"""The optimizer's update, timed by the bytes that the layer table says it moves."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from calibration.machine.clock import Clock
from calibration.machine.steps import optimizer_of
from calibration.machine.timed import Measured
from models.model import Model
from calibration.modules import build
from simulator.lowering.formats import optimizer_traffic
from topologies.kernels import Point

OPTIMIZERS = ("sgd", "momentum", "adam")


def updates(
    model: Model, number_format: str, dtype: torch.dtype, clock: Clock
) -> Iterator[Measured]:
    """Yield what every optimizer takes to update a network once."""
    network = build(model, dtype=dtype, device=clock.device)
    parameters = list(network.parameters())
    held = sum(each.numel() for each in parameters)
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 1e-3)
    for name in OPTIMIZERS:
        timing = clock.time(optimizer_of(name, parameters).step)
        size = held * optimizer_traffic(name, number_format, number_format)
        point = Point((size,), 0.0, size, timing.time)
        yield Measured(f"{name} optimizer", point, timing.host, timing.spread)
