"""Whole training steps on one device, measured: eager, compiled or a graph."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from calibration.machine.formats import FORMATS
from calibration.modules import build, example_batch, loss
from simulator.plan import Plan
from topologies.units import Bytes, Ratio, Seconds

Mode = Literal["eager", "compiled", "graph"]
_RATE = 0.002
_WARM_UP = 3


class Step(NamedTuple):
    """What was measured of one plan.

    Fields:
        time: of a step, median; on a CPU of the thread that computes [s].
        wall: the same by the clock on the wall [s].
        spread: half the range of the middle half of the steps, over the median [1].
        peak: of the allocator, on a GPU; nan elsewhere [B].
    """

    time: Seconds
    wall: Seconds
    spread: Ratio
    peak: Bytes


def optimizer_of(name: str, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Return torch's optimizer of a plan's name."""
    if name == "adam":
        return torch.optim.Adam(parameters, lr=_RATE)
    return torch.optim.SGD(parameters, lr=_RATE, momentum=0.9 * (name == "momentum"))


def one_step(plan: Plan, device: str, mode: Mode = "eager") -> Callable[[], None]:
    """Return a training step of a plan for one device, as a call."""
    dtype = FORMATS[plan.training.precision]
    model = plan.build_model()
    network: Any = build(model, dtype=dtype, device=device)
    optimizer = optimizer_of(plan.training.optimizer, list(network.parameters()))
    inputs, targets = example_batch(model, plan.batch.global_, device=device)
    given = _in_format(inputs, dtype)
    wanted = loss(model)
    called = torch.compile(network) if mode == "compiled" else network

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        wanted(called(*given), targets).backward()
        optimizer.step()

    return _graphed(step, network, optimizer) if mode == "graph" else step


def _graphed(
    step: Callable[[], None], network: nn.Module, optimizer: torch.optim.Optimizer
) -> Callable[[], None]:
    """Return the replay of a step that was captured as a CUDA graph."""
    for group in optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = True
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # as torch's notes on graphs ask for
        for _ in range(_WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    for parameter in network.parameters():
        parameter.grad = None
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    replay: Callable[[], None] = graph.replay
    return replay


def measured_step(
    plan: Plan, device: str, *, mode: Mode = "eager", steps: int = 9
) -> Step:
    """Return how long steps take, once they are warm.

    Args:
        plan: for one device.
        device: `cpu` or `cuda`.
        mode: how the step is run.
        steps: that are timed [1].
    """
    step = one_step(plan, device, mode)
    for _ in range(_WARM_UP):
        step()
    _settle(device)
    times, walls = [], []
    for _ in range(steps):
        begin, wall = time.thread_time(), time.perf_counter()
        step()
        _wait(device)
        walls.append(time.perf_counter() - wall)
        times.append(time.thread_time() - begin)
    mine = walls if device == "cuda" else times
    peak = math.nan
    if device == "cuda":
        peak = float(torch.cuda.max_memory_allocated())
    ordered, quarter = sorted(mine), len(mine) // 4
    middle = ordered[quarter : len(ordered) - quarter]
    median = statistics.median(mine)
    spread = (middle[-1] - middle[0]) / 2 / median
    return Step(median, statistics.median(walls), spread, peak)


def _settle(device: str) -> None:
    """Begin the count of peak memory; what nobody holds any more does not count."""
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _in_format(inputs: Any, dtype: torch.dtype) -> tuple[Any, ...]:
    values = inputs if isinstance(inputs, tuple) else (inputs,)
    return tuple(
        each.to(dtype) if each.is_floating_point() else each for each in values
    )
