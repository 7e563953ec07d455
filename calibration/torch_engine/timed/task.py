"""The task of a rank in a timed run: steps of its program, begun by all at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import distributed

from calibration.torch_engine.rank import Member
from calibration.torch_engine.timed.program import Kind, Program
from calibration.torch_engine.timed.walking import Moments, Walker, stream_groups
from simulator.workload import Stream
from topologies.units import Bytes, Count, Seconds

_LEAD: Seconds = 0.02  # from the agreement on a moment to that moment
_LEAD_OF_RANK: Seconds = 0.005  # and as much for every rank to wake up


class Walked(NamedTuple):
    """What a rank has to tell of its steps.

    Fields:
        steps: when each of its ops was ready and ended, by op, for each step.
        wire_bytes: sent in a step [B].
        sizes: of the messages it began in a step, by pattern and axis [B].
        faults: what arrived and should not have.
        cpu: time of the processor in the steps that count [s].
    """

    steps: list[dict[int, Moments]]
    wire_bytes: Bytes
    sizes: dict[Kind, list[Bytes]]
    faults: list[str]
    cpu: Seconds


def walk(
    member: Member, programs: Sequence[Program], repeats: Count, patience: Seconds
) -> Walked:
    """Walk one rank's program and return what came of it.

    A first step, which also checks what arrives, is not counted.

    Args:
        member: which rank this is.
        programs: of all ranks.
        repeats: steps that count [1].
        patience: with one message [s].
    """
    groups = stream_groups(streams_of(programs))
    walker = Walker(program=programs[member.rank], groups=groups, patience=patience)
    walker.prepare()
    walker.step(walker.await_messages(), common_moment(member))
    faults = walker.faults()
    steps = []
    cpu = 0.0
    for number in range(int(repeats)):
        member.tell(f"step {number + 1}")
        arrivals = walker.await_messages()
        begin = common_moment(member)
        before = time.process_time()
        steps.append(walker.step(arrivals, begin))
        cpu += time.process_time() - before
    return Walked(steps, walker.wire_bytes, walker.sizes, faults, cpu)


def streams_of(programs: Sequence[Program]) -> tuple[Stream, ...]:
    """Return the streams with messages, in an order that all ranks agree on."""
    found = {
        part.stream
        for program in programs
        for part in program.parts
        if part.call is not None
    }
    return tuple(sorted(found))


def common_moment(member: Member) -> Seconds:
    """Return a moment that all ranks agree on, when all are there.

    They are on one machine, and have one clock.
    """
    distributed.barrier()
    moment = torch.tensor([time.monotonic()], dtype=torch.float64)
    distributed.broadcast(moment, 0)
    return float(moment) + _LEAD + _LEAD_OF_RANK * member.size
