"""A plan on one rank: build its share, warm up, record one step, time the others."""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from functools import partial

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor.parallel import loss_parallel

from calibration.quiet import quieten
from calibration.torch_engine.batches import own_batch
from calibration.torch_engine.building import build_local, loss_of
from calibration.torch_engine.groups import Groups, wanted_axes
from calibration.torch_engine.learnt import counted, learnt
from calibration.torch_engine.looking import looked_at, timed
from calibration.torch_engine.optimizers import (
    make_optimizer,
    optimizer_kind,
)
from calibration.torch_engine.passes import make_passes
from calibration.torch_engine.rank import Member
from calibration.torch_engine.recording import Recorder
from calibration.torch_engine.serving.host import Host
from calibration.torch_engine.serving.worker import Worker
from calibration.torch_engine.splits.carried import Carriage
from calibration.torch_engine.splits.divided import Divided
from calibration.torch_engine.splits.ending import gradient_norm, local_of
from calibration.torch_engine.splits.owners import Owners, divide_state
from calibration.torch_engine.splits.portions import Portions
from calibration.torch_engine.summing import Sums, has_parts
from calibration.torch_engine.task import Assignment, Report, Spans
from simulator.lowering.served import is_served
from simulator.plans.layer_choices import portion_rule
from simulator.workload import Axis
from topologies.units import Seconds


def train(task: Assignment, member: Member) -> Report:
    """Return what this rank saw of a few steps of a plan."""
    if task.device == "cuda":
        number = int(os.environ.get("LOCAL_RANK", member.rank))
        torch.cuda.set_device(number % torch.cuda.device_count())
    if task.device == "cpu":
        quieten()  # as kernels were measured
    trainer = _runner(task, member)
    for number in range(task.warm_up):
        member.tell(f"warm-up step {number}")
        trainer.step(number)
    member.tell("the recorded step")
    recorded = trainer.record(task.warm_up)
    times = []
    for number in range(task.warm_up + 1, task.warm_up + 1 + task.steps):
        member.tell(f"step {number}")
        times.append(timed(partial(trainer.step, number)))
    member.tell("the step looked at")
    last = task.warm_up + 1 + task.steps
    spans = trainer.looked_at(last) if task.is_looked_at else ()
    member.tell("the end")
    trainer.close()
    return trainer.report(recorded, tuple(times), spans)


def _runner(task: Assignment, member: Member) -> Trainer | Host:
    """Return what does the steps of a rank: a device's, or those of a node's host."""
    plan = task.plan
    groups = Groups(plan.parallelism.degrees, member.rank, task.device)
    groups.make(wanted_axes(plan.parallelism))
    carrier = groups.make_carrier() if is_served(plan) else None
    if carrier is not None and member.rank >= plan.world_size:
        return Host(task, member.rank, groups, carrier)
    return Trainer(task, groups, carrier)


class Trainer:
    """One rank's model, optimizer and data."""

    def __init__(
        self, task: Assignment, groups: Groups, carrier: dist.ProcessGroup | None
    ) -> None:
        """Build this rank's share of a plan.

        Args:
            task: of the run.
            groups: of this rank.
            carrier: for messages with parameter servers; None without.
        """
        plan = task.plan
        self.task, self.plan, self.groups = task, plan, groups
        self.carriage = None
        if task.ways:
            self.carriage = Carriage(task.ways, groups.rank, task.patience)
        self.local = build_local(task, groups, self.carriage)
        self.loss = loss_of(self.local.model, plan, self.groups)
        self.parameters = self.local.parameters()
        self.served: Worker | None = None
        if carrier is not None:
            (stage,) = self.local.stages
            self.served = Worker(task, groups.rank, stage.part, carrier)
        self._counted = counted(self.local, self.groups)
        self.divided: Divided | None = None
        if has_parts(plan) and plan.parallelism.zero < 3:
            (stage,) = self.local.stages
            self.divided = Divided(plan, stage, groups, self._counted)
        self.optimizer = self.served or self.divided or self._make_optimizer()
        self.portions = self._make_portions()
        self.sums = Sums(plan, self.groups, self.local, self.carriage)
        self.losses: list[float] = []
        self.norm = 0.0
        self._run = make_passes(
            task,
            self.groups,
            self.local,
            self.portions or self.loss,
            self.sums.launches(),
        )

    def step(self, number: int) -> None:
        """Do one optimizer step on the data of that number."""
        is_divided = self.plan.parallelism.tensor > 1
        self.optimizer.zero_grad()
        with loss_parallel() if is_divided else nullcontext():
            losses = self._run(*own_batch(self.task, self.local, self.groups, number))
        self._finish()
        self.optimizer.step()
        if losses:
            self.losses.append(float(torch.stack(losses).float().mean()))

    def record(self, number: int) -> Recorder:
        """Do one step and return what was recorded of it."""
        recorder = Recorder(self.groups.axes, self.groups.carriers)
        kept = getattr(self.optimizer, "optim", self.optimizer).state  # its own part
        recorder.hold([list(self.parameters.values()), list(kept.values())])
        if self.portions is not None and self.portions.optimizer is not None:
            recorder.hold(list(self.portions.optimizer.state.values()))
        told = [each for each in (self.served, self.carriage) if each is not None]
        for each in told:
            each.recorder = recorder
        with recorder:
            self.step(number)
        for each in told:
            each.recorder = None
        return recorder

    def looked_at(self, number: int) -> Spans:
        """Do one step and return what this rank did when."""
        begun: list[Seconds] = []
        spans = looked_at(partial(self._begun, begun, number))
        sums = self.carriage.spans(begun[0]) if self.carriage is not None else ()
        return (*spans, *sums)

    def _begun(self, moments: list[Seconds], number: int) -> None:
        moments.append(time.perf_counter())
        self.step(number)

    def close(self) -> None:
        """End what outlives a step."""
        if self.carriage is not None:
            self.carriage.close()

    def report(
        self, recorder: Recorder, times: tuple[float, ...], spans: Spans
    ) -> Report:
        """Return what is known at the end."""
        for each in (self.served, self.divided):
            if each is not None:
                each.settle()
        held = sum(local_of(each).numel() for each in self.parameters.values())
        return Report(
            calls=recorder.calls,
            carried=recorder.carried,
            flop=recorder.flop,
            parameters=held,
            memory_peak=recorder.peak,
            times=times,
            spans=spans,
            losses=tuple(self.losses),
            gradient_norm=self.norm,
            learnt=learnt(self.local, self.groups)
            if self.task.keeps_parameters
            else {},
        )

    def _make_optimizer(self) -> torch.optim.Optimizer | Owners:
        """Return what changes parameters at the end of a step."""
        rule = portion_rule(self.plan.parallelism, self.local.model)
        is_early = rule is not None and rule.updates == "each-portion"
        early = self._neurons() if is_early else []
        left_out = {id(each) for each in early}
        parameters = [
            each for each in self.parameters.values() if id(each) not in left_out
        ]
        mesh = self.plan.parallelism
        if mesh.zero != 1 or mesh.shard == 1:
            return make_optimizer(self.plan, parameters)
        own = {id(each) for each in self.local.experts}
        dense = [each for each in parameters if id(each) not in own]
        kind, settings = optimizer_kind(self.plan)
        group = self.groups.group("shard")
        parts = [divide_state(dense, group, kind, **settings)]
        if own and mesh.expert == mesh.replicas:
            parts.append(make_optimizer(self.plan, self.local.experts))
        elif own:
            group = self.groups.group("expert-data")
            parts.append(divide_state(self.local.experts, group, kind, **settings))
        return Owners(parts)

    def _make_portions(self) -> Portions | None:
        """Return what runs the layers whose neurons the replicas divide, if any."""
        rule = portion_rule(self.plan.parallelism, self.local.model)
        if rule is None or self.local.neurons is None:
            return None
        is_early = rule.updates == "each-portion"
        optimizer = make_optimizer(self.plan, self._neurons()) if is_early else None
        return Portions(
            layers=self.local.neurons,
            group=self.groups.group("data"),
            scheme=rule.scheme or "in-turn",
            loss=self.loss,
            num_microbatches=self.plan.num_microbatches,
            optimizer=optimizer,
        )

    def _neurons(self) -> list[nn.Parameter]:
        """Return parameters of neurons that other replicas have not."""
        return list(self.local.neurons.parameters()) if self.local.neurons else []

    def _finish(self) -> None:
        """Sum what other ranks have a part of; servers do so by themselves."""
        if self.served is not None:
            return
        if self.divided is not None:
            self.divided.end()
        plan, mesh = self.plan, self.plan.parallelism
        self.sums.finish()
        if not plan.training.post_validation:
            is_divided = has_parts(plan) and mesh.shard > 1
            axes: list[Axis] = ["shard"] if is_divided else []
            axes += ["model"] if mesh.pipeline * mesh.tensor > 1 else []
            groups = [self.groups.group(axis) for axis in axes]
            self.norm = gradient_norm(self._gradients(), groups)

    def _gradients(self) -> list[torch.Tensor]:
        """Return the gradients of this rank that no other counts."""
        if self.divided is not None:
            return list(self.divided.gradients)
        return [
            each.grad
            for each in self.parameters.values()
            if each.grad is not None and id(each) in self._counted
        ]
