"""`simulate run`: a plan on torch.distributed, bare or emulated, real or timed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from calibration.torch_engine.data.choosing import samples_of
from calibration.torch_engine.errors import UnrunnableError, require_torch
from calibration.torch_engine.joining import joined
from calibration.torch_engine.measured import Measured, measured_of
from calibration.torch_engine.refusals import refuse
from calibration.torch_engine.room import backend_of
from calibration.torch_engine.seats import host_seats, in_hosts, seats
from calibration.torch_engine.serving.places import num_processes, places_of
from calibration.torch_engine.task import Device, Report, assign, num_steps
from calibration.torch_engine.world import Limits, World
from simulator.job import Job, prepare
from simulator.plan import Plan
from topologies.units import Seconds

Network = Literal["host", "emulated"]
Compute = Literal["real", "timed"]
_FRAMEWORK = "training.framework"
_RANKS_PER_CORE = 8  # that compute; each has torch and its part of the model
_MOST_RANKS = 256  # each is a process and a pipe, and select() takes 1,024 of these


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a plan is run.

    Fields:
        steps: that are timed [1].
        warm_up: before them; DDP settles its buckets in two [1].
        network: this machine's own, or one emulated from the plan's graph.
        compute: whether kernels run, or ranks wait as long as they should take.
        device: what computes.
        patience: of a rank for another [s].
        seed: of parameters and data.
        is_looked_at: whether a further step is taken apart.
        data: file or folder of samples; None for random numbers.
    """

    steps: int = 5
    warm_up: int = 3
    network: Network = "host"
    compute: Compute = "real"
    device: Device = "cpu"
    patience: Seconds = 60.0
    seed: int = 0
    is_looked_at: bool = True
    data: Path | None = None


def as_run(plan: Plan) -> Plan:
    """Return a plan by the rules that torch follows, whatever it names."""
    return plan.replace({_FRAMEWORK: "torch"})


def run(plan: Plan, options: Options = Options()) -> Measured:
    """Run a plan and return what was measured.

    Raises:
        MissingOptional: torch is not installed.
        UnrunnableError: there is no such device.
        Infeasible: the ranks do not fit on this machine.
        PlanError: something in the plan cannot be run.
        RankError: a rank failed.
    """
    require_torch()
    if options.compute == "timed":
        return _timed(plan, options)
    plan = as_run(plan)
    refuse(plan)
    is_joining = "RANK" in os.environ and "WORLD_SIZE" in os.environ
    if not is_joining:
        _refuse_many(plan, options)
    samples = None
    if options.data is not None:
        steps = num_steps(options.warm_up, options.steps)
        batch, model = plan.batch.global_, plan.build_model()
        samples = samples_of(options.data, model, batch, steps, options.seed)
    job = prepare(plan)
    backend = backend_of(job, options.device)
    task = assign(
        job,
        device=options.device,
        steps=options.steps,
        warm_up=options.warm_up,
        seed=options.seed,
        samples=samples,
        patience=options.patience,
        is_looked_at=options.is_looked_at,
    )
    # By name: only ranks load torch.
    train = partial(_train, task)
    if is_joining:
        reports = joined(train, num_processes(plan), backend, options.patience)
    else:
        with _world(plan, options) as world:
            reports = world.run(train, backend=backend)
    return measured_of(plan, options.warm_up, reports)


def _refuse_many(plan: Plan, options: Options) -> None:
    """Refuse more processes than this machine can watch, or carry.

    Raises:
        UnrunnableError: there are more.
    """
    count, cores = num_processes(plan), os.cpu_count() or 1
    if count > _MOST_RANKS:
        raise UnrunnableError(
            f"{count} ranks would each be a process of this machine, which takes at "
            f"most {_MOST_RANKS}; make the cluster smaller, or start them by torchrun"
        )
    if options.compute == "real" and plan.world_size > _RANKS_PER_CORE * cores:
        raise UnrunnableError(
            f"{plan.world_size} ranks would compute on {cores} cores of this machine, "
            f"which takes at most {_RANKS_PER_CORE} a core; make the cluster smaller, "
            "start them by torchrun, or write --compute timed"
        )


def _train(task: Any, member: Any) -> Report:
    report: Report = import_module("calibration.torch_engine.training").train(
        task, member
    )
    return report


@contextmanager
def _world(plan: Plan, options: Options) -> Iterator[World]:
    """Start the ranks of a plan where they belong."""
    limits = Limits(waiting=options.patience, silence=5 * options.patience)
    if options.network == "host":
        places = (*seats(plan.world_size), *host_seats(places_of(plan).hosts))
        with World(places, limits=limits) as world:
            yield world
        return
    timed = import_module("calibration.torch_engine.timed.running")
    emulation = import_module("calibration.emulation.network")
    cluster = plan.build_cluster()
    cables = timed.cables(plan.cluster)
    shape = timed.shape_at(cluster.network.bandwidth)
    with emulation.EmulatedNetwork(cables, shape) as network:
        hosts = [rank // cluster.devices_per_node for rank in range(plan.world_size)]
        hosts += range(places_of(plan).hosts)
        hint = partial(timed.unplugged, network)
        with World(in_hosts(network, hosts), limits=limits, hint=hint) as world:
            yield world


def _timed(plan: Plan, options: Options) -> Measured:
    """Run a plan's messages on an emulated network while its kernels are waited for."""
    if options.data is not None:
        raise UnrunnableError("--compute timed reads no samples; leave --data out")
    if options.network != "emulated":
        raise UnrunnableError("--compute timed needs --network emulated")
    job: Job = prepare(plan, is_folded=False)
    found = import_module("calibration.torch_engine.timed.running").run_timed(
        job, repeats=options.steps
    )
    return Measured(
        times=found.step_times,
        warm_up=1,
        world_size=plan.world_size,
        samples=plan.batch.global_,
        tokens=plan.batch.global_ * job.model.tokens_per_sample,
        ledger=found.ledger,
    )
