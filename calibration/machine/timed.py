"""A replayed operator, timed forward and backward, as points of measured kernels."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from calibration.machine.clock import Clock, Function, Timing
from calibration.machine.replay import Replay, tensors
from models.operators import Convolution, Linear
from models.work import Share, Work
from simulator.pricing.measured import dims_of, measured_time
from topologies.kernels import KernelTable, Point
from topologies.units import Ratio, Seconds

_SINGLE = ("product ", "bias ")  # functions that are measured by themselves


class Measured(NamedTuple):
    """One kernel that was timed.

    Fields:
        function: what it computes.
        point: its dimensions and time.
        host: time of issuing it [s].
        spread: of the repetitions [1].
    """

    function: str
    point: Point
    host: Seconds
    spread: Ratio


class Job(NamedTuple):
    """One call to be timed.

    Fields:
        works: kernels that it runs, as the layer table states them.
        call: the call.
        is_gradient: whether a backward pass has to be started for it.
    """

    works: tuple[Work, ...]
    call: Function
    is_gradient: bool


def timed(
    jobs: Sequence[Job], clock: Clock, known: KernelTable | None
) -> Iterator[Measured]:
    """Yield what calls took, timed in turn.

    Args:
        jobs: the calls.
        clock: to time them with.
        known: kernels measured before, for operators of several functions.
    """
    start = Job((), _start(clock.device), is_gradient=True)
    gradients = [job for job in jobs if job.is_gradient]
    # Each beginning after a gradient, as all are: the first of a turn is a cold one.
    begun = [each for job in gradients for each in (job, start)]
    others = [job for job in jobs if not job.is_gradient]
    calls = [*others, *begun]
    timings = clock.time([job.call for job in calls])
    starts = [t for job, t in zip(calls, timings, strict=True) if job is start]
    for job, timing in zip(calls, timings, strict=True):
        own = _without(timing, starts) if job.is_gradient else timing
        if job is not start:
            yield from _divided(job.works, own, known)


def passes(replay: Replay, element: float) -> Iterator[Job]:
    """Yield the passes of one operator.

    Args:
        replay: the operator and what it reads.
        element: bytes of a number [B].
    """
    share = Share(replay.samples, element=element)
    if works := replay.operator.forward(share):
        yield Job(works, replay.forward, is_gradient=False)
    put_out = [each for each in tensors(replay.forward()) if each.requires_grad]
    for works, wanted in _backward(replay, share) if put_out else ():
        if works and wanted:
            ones = [torch.ones_like(each) for each in put_out]
            call = partial(_gradient, put_out, wanted, ones)
            yield Job(works, call, is_gradient=True)


def _backward(
    replay: Replay, share: Share
) -> Iterator[tuple[tuple[Work, ...], list[Tensor]]]:
    """Yield kernels of the backward pass, and whose gradients they compute."""
    operator = replay.operator
    inputs, weights = operator.backward_input(share), operator.backward_weight(share)
    if isinstance(operator, Linear | Convolution):
        parameters = replay.parameters()
        yield inputs, replay.leaves()
        yield weights[:1], parameters[:1]
        yield weights[1:], parameters[1:]
    else:
        yield (*inputs, *weights), [*replay.leaves(), *replay.parameters()]


def _gradient(
    outputs: list[Tensor], wanted: list[Tensor], ones: list[Tensor]
) -> tuple[Tensor, ...]:
    """Return gradients; what they are computed from stays."""
    found: tuple[Tensor, ...] = torch.autograd.grad(
        outputs, wanted, ones, retain_graph=True, allow_unused=True
    )
    return found


def _start(device: str) -> Function:
    """Return a backward pass that does nothing but begin and end."""
    empty = torch.zeros(1, device=device, requires_grad=True)
    return partial(_gradient, [empty.view(1)], [empty], [torch.ones(1, device=device)])


def _without(timing: Timing, starts: Sequence[Timing]) -> Timing:
    """Return the time of a backward pass, without that of starting one."""
    nothing = statistics.median(start.time for start in starts)
    host = statistics.median(start.host for start in starts)
    return Timing(
        max(timing.time - nothing, timing.time / 10),
        max(timing.host - host, timing.host / 10),
        timing.spread,
    )


def _divided(
    works: Sequence[Work], timing: Timing, known: KernelTable | None
) -> Iterator[Measured]:
    """Yield a point for each function of the kernels that were timed together.

    Where there are several, those measured before keep their time, and the rest of
    what was timed is the others', in equal parts.
    """
    named = [work for work in works if work.function]
    functions = {work.function for work in named}
    if len(functions) == 1:
        yield _measured(named[0], timing, len(named))
        return
    rest, others = timing.time, []
    for work in named:
        is_single = work.function.startswith(_SINGLE)
        own = measured_time(work, known) if known and is_single else None
        if own is None:
            others.append(work)
        else:
            rest -= own
    if others and len({work.function for work in others}) == 1:
        rest = max(rest, timing.time / 20)
        left = Timing(rest, timing.host, timing.spread)
        yield _measured(others[0], left, len(others))


def _measured(work: Work, timing: Timing, count: int) -> Measured:
    point = Point(dims_of(work), work.flop, work.size, timing.time / count)
    return Measured(work.function, point, timing.host / count, timing.spread)
