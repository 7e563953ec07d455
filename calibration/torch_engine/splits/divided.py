"""ZeRO-2: gradients summed into parts of buckets, each with one owner who updates it.

ZeRO-1 does the same once, after the last micro-batch, where forward passes gather.

A bucket closes with the layer that fills it, and is reduce-scattered when it is full,
behind the buckets before it; the next one waits until it is through, so that there are
two at most. Whole gradients are dropped at once. Owners update their parts of all
buckets, and these are gathered together, or, where forward passes gather them, bucket
by bucket before the layers that need them.

Source: Rajbhandari et al., arXiv:1910.02054, section 5.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from calibration.modules import LayerModule
from calibration.torch_engine.building import FORMATS, Stage, layers_of
from calibration.torch_engine.groups import Groups
from calibration.torch_engine.optimizers import make_optimizer
from calibration.torch_engine.splits.filling import Filling
from simulator.lowering.sharding.rule import sharding_of
from simulator.plan import Plan
from topologies.units import Count


@dataclass(slots=True)
class Bucket:
    """Parameters whose gradients are summed together.

    Fields:
        layers: that have them, in forward order.
        parameters: in the order in which their gradients come.
        own: this rank's part of them, behind one another and padded to equal parts.
        counted: 1 where no other rank counts an element in the gradient's norm, else 0.
        total: this rank's part of the gradient, summed so far; None before the first.
    """

    layers: list[LayerModule]
    parameters: list[nn.Parameter]
    own: nn.Parameter
    counted: Tensor
    total: Tensor | None = None

    def whole(self, values: Sequence[Tensor], ranks: int) -> Tensor:
        """Return tensors of all parameters behind one another, with their padding."""
        flat = torch.cat([each.flatten() for each in values])
        return nn.functional.pad(flat, (0, -len(flat) % ranks))

    @torch.no_grad()
    def write(self, values: Tensor) -> None:
        """Replace the parameters by values that are behind one another."""
        begin = 0
        for each in self.parameters:
            end = begin + each.numel()
            each.copy_(values[begin:end].view_as(each))
            begin = end


class Divided:
    """Divides gradients and the optimizer's state; used as an optimizer is."""

    def __init__(
        self, plan: Plan, stage: Stage, groups: Groups, counted: set[int]
    ) -> None:
        """Listen to the gradients of a model.

        Args:
            plan: that divides them.
            stage: all of the model on this rank.
            groups: of this rank.
            counted: by `id`, parameters that no other rank counts in the norm.
        """
        rule = sharding_of(plan)
        assert rule is not None, "replicas divide something"
        self._rule, self._groups = rule, groups
        self._group = groups.group("shard")
        self._replicas = plan.parallelism.replicas
        self._wide = FORMATS[plan.training.gradient_precision]
        self._sent = FORMATS[plan.training.precision]
        bucket = plan.synchronization.bucket if rule.is_overlapped else float("inf")
        layers = layers_of(stage.part)
        self.buckets = list(self._buckets(layers, bucket / rule.gradient, counted))
        parts = [bucket.own for bucket in self.buckets]
        self._optimizer = make_optimizer(plan, parts)
        self._works: list[tuple[Bucket, Tensor, Any]] = []
        self._gathering: list[tuple[Bucket, Tensor, Any]] = []
        self._is_new = False
        passes = 1 if rule.is_reduced_each else plan.num_microbatches
        Filling([bucket.parameters for bucket in self.buckets], passes, self._reduce)
        for each in self.buckets if rule.gathers_in_forward else ():
            each.layers[0].register_forward_pre_hook(self._before_layer)

    @property
    def state(self) -> dict[Any, Any]:
        """What the optimizer keeps of this rank's parts."""
        return {**self._optimizer.state, "parts": [each.own for each in self.buckets]}

    @property
    def gradients(self) -> Iterator[Tensor]:
        """This rank's parts of the gradient, as far as no other rank counts them."""
        for bucket in self.buckets:
            if bucket.own.grad is not None:
                yield bucket.own.grad * bucket.counted

    def zero_grad(self) -> None:
        """Drop the gradients, and ask for what the coming forward needs."""
        self._optimizer.zero_grad()
        if self._rule.gathers_in_forward:
            for bucket in reversed(self.buckets):
                self._gathering.append((bucket, *self._gathered(bucket.own)))

    def end(self) -> None:
        """Wait for the sums, which then are the gradients of this rank's parts."""
        self._await()
        for bucket in self.buckets:
            assert bucket.total is not None, "a backward pass has ended"
            bucket.own.grad = bucket.total.to(bucket.own.dtype)
            bucket.total = None

    def step(self) -> None:
        """Update this rank's parts, and gather those of all, unless forwards do."""
        self._optimizer.step()
        if self._rule.gathers_in_forward:
            return
        own = torch.cat([bucket.own.detach() for bucket in self.buckets])
        whole, work = self._gathered(own)
        work.wait()
        by_rank = whole.view(self._rule.shards, -1)
        sizes = [bucket.own.numel() for bucket in self.buckets]
        for bucket, parts in zip(self.buckets, by_rank.split(sizes, 1), strict=True):
            bucket.write(parts.flatten())

    def settle(self) -> None:
        """Gather what is new, if the next forward would have."""
        self.zero_grad()
        while self._gathering:
            self._end_gathering()

    def _buckets(
        self, layers: list[LayerModule], size: Count, counted: set[int]
    ) -> Iterator[Bucket]:
        """Yield buckets in the order of a backward pass."""
        seen: set[int] = set()
        own: list[list[nn.Parameter]] = []
        for layer in layers:
            own.append([each for each in layer.parameters() if id(each) not in seen])
            seen |= {id(each) for each in own[-1]}
        taken: list[LayerModule] = []
        found: list[nn.Parameter] = []
        for layer, parameters in zip(reversed(layers), reversed(own), strict=True):
            taken.insert(0, layer)
            found += reversed(parameters)
            is_full = sum(each.numel() for each in found) >= size
            if found and (is_full or layer is layers[0]):
                yield self._bucket(taken, found, counted)
                taken, found = [], []

    def _bucket(
        self,
        layers: list[LayerModule],
        parameters: list[nn.Parameter],
        counted: set[int],
    ) -> Bucket:
        values = [each.detach() for each in parameters]
        marks = [
            torch.full_like(each, float(id(each) in counted)) for each in parameters
        ]
        bucket = Bucket(layers, parameters, nn.Parameter(), torch.empty(0))
        ranks, rank = self._rule.shards, self._group.rank()
        bucket.own = nn.Parameter(
            bucket.whole(values, ranks).chunk(ranks)[rank].clone()
        )
        bucket.counted = bucket.whole(marks, ranks).chunk(ranks)[rank].clone()
        return bucket

    def _reduce(self, number: int) -> None:
        """Send a full bucket, once the one before is through."""
        self._await()
        bucket, ranks = self.buckets[number], self._rule.shards
        gradients = [each.grad for each in bucket.parameters if each.grad is not None]
        flat = bucket.whole([each.to(self._wide) for each in gradients], ranks)
        flat = flat.div_(self._replicas)
        for each in bucket.parameters:
            each.grad = None
        part = flat.new_empty(len(flat) // ranks)
        work = dist.reduce_scatter_tensor(part, flat, group=self._group, async_op=True)
        self._works.append((bucket, part, work))

    def _await(self) -> None:
        """Wait for the bucket on its way, and add its part to the sum."""
        for bucket, part, work in self._works:
            work.wait()
            if self._rule.copies > 1:
                dist.all_reduce(part, group=self._groups.group("replicate"))
            bucket.total = part if bucket.total is None else bucket.total + part
        self._works.clear()

    def _gathered(self, own: Tensor) -> tuple[Tensor, Any]:
        """Begin to gather parts of all ranks; return where, and what to wait for."""
        part = own.detach().to(self._sent)
        whole = part.new_empty(self._rule.shards * len(part))
        work = dist.all_gather_into_tensor(
            whole, part, group=self._group, async_op=True
        )
        return whole, work

    def _before_layer(self, layer: nn.Module, inputs: Any) -> None:
        """Wait for the parameters of a bucket before the first of its layers."""
        del layer, inputs
        if self._gathering:
            self._end_gathering()

    def _end_gathering(self) -> None:
        bucket, whole, work = self._gathering.pop(0)
        work.wait()
        bucket.write(whole)
