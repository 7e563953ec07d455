"""Portions of samples on their way through dense layers divided by neurons.

What `simulator.lowering.portions` says, executed: activations arrive from their
replicas, the next portion's while one is computed, and their gradients go back. To the
layers before, all this is a loss: it takes their output, and knows its gradient.

Labels of all samples are on every replica, and are not sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from typing_extensions import override

from calibration.torch_engine.splits.neurons import begin_gathering, begin_scattering
from simulator.plans.fields import DenseScheme
from topologies.units import Count

Loss = Callable[[Any, Any], Tensor]


class _Moving(NamedTuple):
    """A tensor on its way, and what to wait for."""

    tensor: Tensor
    work: dist.Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Portions:
    """What runs the dense layers; called as the loss of the layers before them.

    Fields:
        layers: the dense layers with this replica's neurons.
        group: of the replicas.
        scheme: which samples a portion has.
        loss: of what the layers put out, a mean over samples.
        num_microbatches: of a step [1].
        optimizer: that changes their weights after each portion; None if they change
            once a step.
    """

    layers: nn.Module
    group: dist.ProcessGroup
    scheme: DenseScheme
    loss: Loss
    num_microbatches: Count
    optimizer: torch.optim.Optimizer | None

    @property
    def count(self) -> int:
        """Portions of a micro-batch [1]."""
        return num_portions(self.scheme, self.group.size())

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a micro-batch of all replicas.

        Its gradient is that of the mean over this replica's own samples, as if they
        were not divided.

        Args:
            outputs: of the layers before, for this replica's samples.
            targets: replicas x samples of each.
        """
        own = outputs.detach().flatten(1)
        losses, leaving = [], []
        arriving = [self._arrive(own, 0)]
        for number in range(self.count):
            if number + 1 < self.count:
                arriving.append(self._arrive(own, number + 1))
            arrived = arriving.pop(0)
            arrived.work.wait()
            wanted = samples_of(targets, self.scheme, number)
            loss, gradient = self._pass(arrived.tensor, wanted)
            losses.append(loss)
            leaving.append(self._leave(gradient, number))
        gradient = self._gradient(leaving).view_as(outputs)
        mean: Tensor = _Known.apply(outputs, torch.stack(losses).mean(), gradient)
        return mean

    def _pass(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of a portion, and what is known here of its gradient."""
        inputs.requires_grad_()
        loss = self.loss(self.layers(inputs), targets)
        if self.optimizer is None:
            (loss / (self.count * self.num_microbatches)).backward()
        else:
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        assert inputs.grad is not None, "it was asked for"
        return loss.detach(), inputs.grad

    def _arrive(self, own: Tensor, number: int) -> _Moving:
        """Begin to bring the activations of a portion here."""
        if self.scheme != "in-turn":
            part = own if self.scheme == "all-at-once" else _slice(own, self, number)
            return _Moving(*begin_gathering(part, self.group))
        is_own = number == self.group.rank()
        room = own.clone() if is_own else torch.empty_like(own)
        source = dist.get_global_rank(self.group, number)
        work = dist.broadcast(room, source, group=self.group, async_op=True)
        assert work is not None, "it is asynchronous"
        return _Moving(room, work)

    def _leave(self, gradient: Tensor, number: int) -> _Moving:
        """Begin to bring the gradients of a portion to whose samples they are of."""
        if self.scheme != "in-turn":
            return _Moving(*begin_scattering(gradient, self.group))
        target = dist.get_global_rank(self.group, number)
        work = dist.reduce(gradient, target, group=self.group, async_op=True)
        assert work is not None, "it is asynchronous"
        return _Moving(gradient, work)

    def _gradient(self, leaving: list[_Moving]) -> Tensor:
        """Return the gradient of the mean loss of this replica's own samples."""
        for each in leaving:
            each.work.wait()
        if self.scheme == "in-turn":
            own = leaving[self.group.rank()].tensor
        else:
            own = torch.cat([each.tensor for each in leaving])
        # A portion is one of `count`, and has samples of as many replicas as there are.
        scale = self.group.size() / self.count
        if self.optimizer is None:
            scale *= self.count * self.num_microbatches
        return own * scale


def num_portions(scheme: DenseScheme, replicas: int) -> int:
    """Return how many portions a micro-batch has [1]."""
    return 1 if scheme == "all-at-once" else replicas


def samples_of(values: Tensor, scheme: DenseScheme, number: int) -> Tensor:
    """Return the samples of a portion.

    Args:
        values: replicas x samples of each.
        scheme: which of them a portion has.
        number: of the portion.
    """
    if scheme == "in-turn":
        return values[number]
    if scheme == "all-at-once":
        return values.flatten(0, 1)
    return values.chunk(len(values), dim=1)[number].flatten(0, 1)


def _slice(own: Tensor, portions: Portions, number: int) -> Tensor:
    return own.chunk(portions.group.size())[number]


class _Known(torch.autograd.Function):
    """A loss whose gradient is known already."""

    @staticmethod
    @override
    def forward(ctx: Any, outputs: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        """Return the loss."""
        del outputs
        ctx.save_for_backward(gradient)
        return loss.clone()

    @staticmethod
    @override
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient that is known."""
        (gradient,) = ctx.saved_tensors
        return gradient * scale, None, None
