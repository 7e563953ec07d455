"""A timed run on an emulated network, from plan to step times."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from statistics import median
from typing import NamedTuple

from calibration.emulation.network import EmulatedNetwork
from calibration.emulation.shape import Shape
from calibration.torch_engine.errors import RunError, UnrunnableError
from calibration.torch_engine.seats import in_hosts
from calibration.torch_engine.timed.program import Kind, programs
from calibration.torch_engine.timed.task import Walked, walk
from calibration.torch_engine.world import Limits, World
from simulator.job import Job
from simulator.plans.building import build_cluster
from simulator.plans.network_records import ClusterSection
from simulator.plans.wiring import Rates, build_wiring
from simulator.results.metrics import LedgerRow
from simulator.results.timeline import Span, Timeline
from topologies.graphs.wiring import Wiring
from topologies.units import Bytes, BytesPerSecond, Count, Ratio, Seconds

_PATIENCE: Seconds = 60.0
_PAUSE: Seconds = 5e-4  # in which a cable may save up bytes
_LEAST_BURST = 1_500  # bytes


class TimedRun(NamedTuple):
    """What a timed run measured.

    Fields:
        step_times: of every step that counts, the first one apart [s].
        wire_bytes: that all ranks sent in a step [B].
        ledger: the messages of a step, as they were sent.
        cpu_share: of the machine's processors that the ranks kept busy [1].
        load: of the machine when the run began, as `uptime` shows it [1].
        timeline: of the step of median length.
    """

    step_times: tuple[Seconds, ...]
    wire_bytes: Bytes
    ledger: tuple[LedgerRow, ...]
    cpu_share: Ratio
    load: float
    timeline: Timeline

    @property
    def step_time(self) -> Seconds:
        """The median [s]."""
        return median(self.step_times)


def run_timed(
    job: Job,
    *,
    repeats: Count = 3,
    shape: Shape | None = None,
    patience: Seconds = _PATIENCE,
    watched: Callable[[EmulatedNetwork, World], AbstractContextManager[object]]
    | None = None,
) -> TimedRun:
    """Return what a job takes with real messages and timed kernels.

    Args:
        job: with all ranks written out, on a graph.
        repeats: steps that count; an odd number has a middle one [1].
        shape: of the cables; `shape_at` their rate if left out.
        patience: with one message [s].
        watched: context in which the ranks run, for what is done to them meanwhile.

    Raises:
        UnrunnableError: the plan has something that cannot be sent for real.
        EmulationUnavailable: this machine cannot emulate a network.
        RankError: a rank failed; the message names it.
        RunError: something arrived that should not have.
    """
    tasks = programs(job)
    load = os.getloadavg()[0]
    wiring = cables(job.plan.cluster)
    shape = shape or shape_at(job.cluster.network.bandwidth)
    with EmulatedNetwork(wiring, shape) as network:
        places = in_hosts(network, range(len(tasks)))
        limits = Limits(waiting=patience)
        with World(places, limits=limits, hint=partial(unplugged, network)) as world:
            around = watched(network, world) if watched else nullcontext()
            with around:
                task = partial(walk, programs=tasks, repeats=repeats, patience=patience)
                answers: list[Walked] = world.run(task)
    return _measured(job, answers, load)


def cables(section: ClusterSection) -> Wiring:
    """Return the network that a plan's cluster has between its nodes, to be built.

    Its cables have the plan's own bandwidth; what is left of that for payload is a
    matter of the profile.

    Raises:
        UnrunnableError: there is none, or its routes split, which those of namespaces
            cannot.
    """
    if section.network is None or section.nodes == 1:
        raise UnrunnableError(
            "cluster.nodes: devices of one node have no network to emulate; spread "
            "them over nodes, or leave --network emulated out"
        )
    if section.network.multipath != "one":
        raise UnrunnableError(
            "cluster.network.multipath: an emulated host has one route to another; "
            'write multipath = "one"'
        )
    rate = build_cluster(section).network.bandwidth
    return build_wiring(section, Rates(rate, rate))


def shape_at(rate: BytesPerSecond) -> Shape:
    """Return the shape of cables for messages that follow each other.

    What a token bucket saves up in a pause goes at once afterwards, so a full bucket
    hides the latency of the next message. It is held to what a link carries in a
    quarter of a millisecond, about what a timer of this machine is late.

    Args:
        rate: of the cables [B/s].
    """
    return Shape(burst=max(_LEAST_BURST, round(rate * _PAUSE)))


def unplugged(network: EmulatedNetwork) -> str:
    """Return the links that are down, to end a message; empty if there is none."""
    names = [network.wiring.link_name(link) for link in network.links_down()]
    return f"unplugged: {', '.join(names)}" if names else ""


def _measured(job: Job, answers: Sequence[Walked], load: float) -> TimedRun:
    faults = [
        f"rank {rank}: {fault}"
        for rank, answer in enumerate(answers)
        for fault in answer.faults
    ]
    if faults:
        raise RunError("; ".join(faults))
    steps = [_timeline(job, answers, k) for k in range(len(answers[0].steps))]
    ends = [step.step_time for step in steps]
    cores = len(os.sched_getaffinity(0))
    cpu = sum(answer.cpu for answer in answers) / (sum(ends) * cores)
    middle = sorted(range(len(ends)), key=ends.__getitem__)[len(ends) // 2]
    wire = sum(answer.wire_bytes for answer in answers)
    return TimedRun(tuple(ends), wire, _ledger(answers), cpu, load, steps[middle])


def _ledger(answers: Sequence[Walked]) -> tuple[LedgerRow, ...]:
    """Return what was sent in one step, in the order of the simulator's own ledger."""
    sizes: dict[Kind, list[Bytes]] = defaultdict(list)
    for answer in answers:
        for kind, some in answer.sizes.items():
            sizes[kind] += some
    return tuple(
        LedgerRow(*kind, sum(sizes[kind]), len(sizes[kind])) for kind in sorted(sizes)
    )


def _timeline(job: Job, answers: Sequence[Walked], number: int) -> Timeline:
    """Return a step's spans; those of a joint op end on each rank when they did."""
    spans = []
    for index, op in enumerate(job.workload.ops):
        compute = float(job.prices[op.body].compute)
        for rank in op.ranks:
            ready, end = answers[rank].steps[number][index]
            sent = 0.0 if compute else end - ready
            spans.append(Span(op, rank, ready, end, compute, sent))
    last = max(span.end for span in spans)
    roles = job.workload.roles
    return Timeline(roles, tuple(spans), last, (0.0,) * len(roles))
