"""A replayed operator, timed forward and backward, as points of measured kernels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from calibration.machine.clock import Clock, Timing
from calibration.machine.replay import Replay, tensors
from models.operators import Convolution, Linear
from models.work import Share, Work
from simulator.measured import dims_of, measured_time
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


def timed(
    replay: Replay, clock: Clock, share: Share, known: KernelTable | None = None
) -> Iterator[Measured]:
    """Yield what an operator's passes took.

    Args:
        replay: the operator and what it reads.
        clock: to time it with.
        share: of the device, whose element size is that of the tensors.
        known: kernels measured before, for operators of several functions.
    """
    works = replay.operator.forward(share)
    if works:
        yield from _divided(works, clock.time(replay.forward), known)
    put_out = [each for each in tensors(replay.forward()) if each.requires_grad]
    if not put_out:
        return
    for works, wanted in _backward(replay, share):
        if works and wanted:
            yield from _divided(works, _gradient(clock, put_out, wanted), known)


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


def _gradient(clock: Clock, outputs: list[Tensor], wanted: list[Tensor]) -> Timing:
    """Return the time of a backward pass, without that of starting one."""
    ones = [torch.ones_like(each) for each in outputs]
    empty = torch.zeros(1, device=ones[0].device, requires_grad=True)
    same, one = empty.view(1), torch.ones(1, device=ones[0].device)

    def start() -> object:
        return torch.autograd.grad(same, empty, one, retain_graph=True)

    def gradient() -> object:
        return torch.autograd.grad(
            outputs, wanted, ones, retain_graph=True, allow_unused=True
        )

    nothing, all_of_it = clock.time(start), clock.time(gradient)
    least = all_of_it.time / 10
    return Timing(
        max(all_of_it.time - nothing.time, least),
        max(all_of_it.host - nothing.host, least),
        all_of_it.spread,
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
