"""A plan on one rank: build its share, warm up, record one step, time the others."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import loss_parallel

from calibration.modules import example_batch
from calibration.torch_engine.building import (
    FORMATS,
    build_local,
    loss_of,
    token_places,
)
from calibration.torch_engine.groups import Groups, has_copies, wanted_axes
from calibration.torch_engine.looking import looked_at
from calibration.torch_engine.rank import Member
from calibration.torch_engine.recording import Recorder
from calibration.torch_engine.splits.ending import gradient_norm, local_of
from calibration.torch_engine.splits.owners import Owners, divide_state
from calibration.torch_engine.splits.pipelined import pipeline
from calibration.torch_engine.splits.plain import run_passes
from calibration.torch_engine.splits.portions import Portions
from calibration.torch_engine.summing import Sums
from calibration.torch_engine.task import Assignment, Report, Spans
from simulator.lowering.sharding.rule import sharding_of
from simulator.plan import Plan
from simulator.plans.layer_choices import portion_rule
from simulator.workload import Axis

_RATE = 0.05  # of learning; small, so that a few steps of any small network are stable


def train(task: Assignment, member: Member) -> Report:
    """Return what this rank saw of a few steps of a plan."""
    trainer = Trainer(task, member)
    for number in range(task.warm_up):
        member.tell(f"warm-up step {number}")
        trainer.step(number)
    member.tell("the recorded step")
    recorded = trainer.record(task.warm_up)
    times = []
    for number in range(task.warm_up + 1, task.warm_up + 1 + task.steps):
        member.tell(f"step {number}")
        times.append(trainer.timed(number))
    member.tell("the step looked at")
    last = task.warm_up + 1 + task.steps
    spans = looked_at(partial(trainer.step, last)) if task.is_looked_at else ()
    member.tell("the end")
    return trainer.report(recorded, tuple(times), spans)


class Trainer:
    """One rank's model, optimizer and data."""

    def __init__(self, task: Assignment, member: Member) -> None:
        plan = task.plan
        self.task, self.plan, self.member = task, plan, member
        self.groups = Groups(plan.parallelism.degrees, member.rank, task.device)
        self.groups.make(wanted_axes(plan.parallelism))
        self.local = build_local(task, self.groups)
        self.loss = loss_of(self.local.model, plan, self.groups)
        self.parameters = self.local.parameters()
        self.optimizer = self._make_optimizer()
        self.portions = self._make_portions()
        self.sums = Sums(plan, self.groups, self.local, self.parameters)
        self.losses: list[float] = []
        self.norm = 0.0
        self._counted = self._mine()
        self._run = self._passes()

    def step(self, number: int) -> None:
        """Do one optimizer step on the data of that number."""
        is_divided = self.plan.parallelism.tensor > 1
        self.optimizer.zero_grad(set_to_none=True)
        with loss_parallel() if is_divided else nullcontext():
            losses = self._run(*self._batch(number))
        self._finish()
        self.optimizer.step(known_loss)
        if losses:
            self.losses.append(float(torch.stack(losses).float().mean()))

    def timed(self, number: int) -> float:
        """Do one step and return how long it took, from all ranks' start [s]."""
        dist.barrier()
        begin = time.perf_counter()
        self.step(number)
        return time.perf_counter() - begin

    def record(self, number: int) -> Recorder:
        """Do one step and return what was recorded of it."""
        recorder = Recorder(self.groups.axes)
        kept = getattr(self.optimizer, "optim", self.optimizer).state  # its own part
        recorder.hold([list(self.parameters.values()), list(kept.values())])
        if self.portions is not None and self.portions.optimizer is not None:
            recorder.hold(list(self.portions.optimizer.state.values()))
        with recorder:
            self.step(number)
        return recorder

    def report(
        self, recorder: Recorder, times: tuple[float, ...], spans: Spans
    ) -> Report:
        """Return what is known at the end."""
        held = sum(local_of(each).numel() for each in self.parameters.values())
        return Report(
            calls=recorder.calls,
            flop=recorder.flop,
            parameters=held,
            memory_peak=recorder.peak,
            times=times,
            spans=spans,
            losses=tuple(self.losses),
            gradient_norm=self.norm,
            learnt=self._learnt() if self.task.keeps_parameters else {},
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

    @property
    def _is_sharded(self) -> bool:
        """Whether replicas divide the parameters."""
        mesh = self.plan.parallelism
        return mesh.zero == 3 and mesh.replicas > 1

    def _passes(self) -> Callable[[Any, Any], list[torch.Tensor]]:
        """Return what runs the forward and backward passes of a step."""
        mesh = self.plan.parallelism
        if mesh.num_stages > 1:
            self._pipeline = pipeline(
                modules={each.number: each.module for each in self.local.stages},
                rows=self.task.rows,
                group=self.groups.group("pipeline"),
                loss=partial(_part_of, self.loss, self.plan.num_microbatches),
                device=torch.device(self.task.device),
                ended=self.sums.launches(),
            )
            return self._pipelined
        return self._plain

    def _plain(self, inputs: Any, targets: Any) -> list[torch.Tensor]:
        (stage,) = self.local.stages
        (row,) = self.task.rows
        count = self.plan.num_microbatches
        rule = sharding_of(self.plan)
        return run_passes(
            stage.module,
            row,
            cut(inputs, count),
            cut(targets, count) if self.portions is None else list(targets),
            self.portions or self.loss,
            is_reduced_each=rule is not None and rule.is_reduced_each,
        )

    def _pipelined(self, inputs: Any, targets: Any) -> list[torch.Tensor]:
        numbers = {stage.number for stage in self.local.stages}
        is_first = 0 in numbers
        is_last = self.plan.parallelism.num_stages - 1 in numbers
        losses: list[torch.Tensor] = []
        given = inputs if isinstance(inputs, tuple) else (inputs,)
        wanted = {"target": targets, "losses": losses} if is_last else {}
        self._pipeline.step(*(given if is_first else ()), **wanted)
        return [each * self.plan.num_microbatches for each in losses]

    def _batch(self, number: int) -> tuple[Any, Any]:
        """Return this replica's samples of a step."""
        size, replicas = self.plan.batch.global_, self.plan.parallelism.data
        seed = self.task.seed + number
        batch = example_batch(
            self.local.model, size, seed=seed, device=self.task.device
        )
        inputs, targets = (cut(each, replicas)[self.groups.data] for each in batch)
        if self.portions is not None:
            targets = of_all(batch[1], replicas, self.plan.num_microbatches)
        if self.plan.parallelism.context > 1:
            own = token_places(self.plan)[self.groups.context]
            inputs, targets = inputs[:, own], targets[:, own]
        return in_format(inputs, FORMATS[self.plan.training.precision]), targets

    def _finish(self) -> None:
        """Sum what other ranks have a part of."""
        plan, mesh = self.plan, self.plan.parallelism
        self.sums.finish()
        if not plan.training.post_validation:
            has_parts = self._is_sharded and mesh.shard > 1
            axes: list[Axis] = ["shard"] if has_parts else []
            axes += ["model"] if mesh.pipeline * mesh.tensor > 1 else []
            groups = [self.groups.group(axis) for axis in axes]
            parameters = self.parameters.values()
            self.norm = gradient_norm(parameters, self._counted, groups)

    def _mine(self) -> set[int]:
        """Return the parameters that no other rank counts in the norm."""
        groups, local = self.groups, self.local
        is_copy = local.table is not None and groups.pipeline > 0
        if (
            has_copies(self.plan.parallelism)
            and 2 * groups.pipeline >= groups.degrees.pipeline
        ):
            return set()
        return {
            id(each)
            for name, each in self.parameters.items()
            if (name in local.divided or groups.tensor == 0)
            and not (is_copy and name == local.table)
        }

    def _learnt(self) -> dict[str, Any]:
        """Return whole parameters by name."""
        learnt = {}
        for name, each in self.parameters.items():
            whole = each.detach()
            if isinstance(whole, DTensor):
                whole = whole.full_tensor()
            for axis, dim in reversed(self.local.divided.get(name, ())):
                group = self.groups.group(axis)
                parts = [torch.empty_like(whole) for _ in range(group.size())]
                dist.all_gather(parts, whole.contiguous(), group=group)
                whole = torch.cat(parts, dim)
            learnt[name] = whole.float().cpu().numpy()
        return learnt


def _part_of(
    loss: Callable[[Any, Any], torch.Tensor], count: int, outputs: Any, targets: Any
) -> torch.Tensor:
    """Return what one of several micro-batches adds to the mean loss."""
    return loss(outputs, targets) / count


def known_loss() -> float:
    """Return a loss for L-BFGS, which asks for it and goes by gradients alone."""
    return 0.0


Kind = tuple[type[torch.optim.Optimizer], dict[str, Any]]


def make_optimizer(plan: Plan, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the plan's optimizer."""
    kind, settings = optimizer_kind(plan)
    return kind(parameters, **settings)


def optimizer_kind(plan: Plan) -> Kind:
    """Return the class of the plan's optimizer, and its settings."""
    match plan.training.optimizer:
        case "adam":
            return torch.optim.Adam, {"lr": _RATE / 10}
        case "adagrad":
            return torch.optim.Adagrad, {"lr": _RATE / 10}
        case "momentum":
            return torch.optim.SGD, {"lr": _RATE, "momentum": 0.9}
        case "sgd":
            return torch.optim.SGD, {"lr": _RATE}
        case "lbfgs":
            history = plan.training.history
            settings = {"lr": _RATE, "max_iter": 1, "history_size": history}
            return torch.optim.LBFGS, settings


def cut(values: Any, count: int) -> list[Any]:
    """Return equal parts of a batch."""
    if isinstance(values, tuple):
        return list(zip(*(cut(each, count) for each in values), strict=True))
    return list(values.chunk(count))


def of_all(values: torch.Tensor, replicas: int, count: int) -> torch.Tensor:
    """Return a batch as micro-batches x replicas x samples of each."""
    return torch.unflatten(values, 0, (replicas, count, -1)).transpose(0, 1)


def in_format(values: Any, dtype: torch.dtype) -> Any:
    """Return inputs in a number format; whole numbers stay what they are."""
    if isinstance(values, tuple):
        return tuple(in_format(each, dtype) for each in values)
    return values.to(dtype) if values.is_floating_point() else values
