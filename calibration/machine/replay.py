"""Single operators of a network, with what they read, to be run again by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from calibration.modules import build, example_batch, loss
from calibration.modules.layer import LayerModule
from models.functions import Loss
from models.model import Model
from models.operators import Elementwise, Operator


class Replay(NamedTuple):
    """One operator.

    Fields:
        operator: its row of the layer table.
        module: what executes it.
        arguments: copies of what it read.
        samples: of the batch [1].
    """

    operator: Operator
    module: Any
    arguments: tuple[Any, ...]
    samples: int

    def forward(self) -> Any:
        """Return what it puts out."""
        return self.module(*self.arguments)

    def leaves(self) -> list[Tensor]:
        """Return the inputs that a gradient is wanted of."""
        return [each for each in tensors(self.arguments) if each.requires_grad]

    def parameters(self) -> list[Tensor]:
        """Return what it learns."""
        is_module = isinstance(self.module, nn.Module)
        return list(self.module.parameters()) if is_module else []


def replays(
    model: Model, samples: int, *, dtype: torch.dtype, device: str
) -> Iterator[Replay]:
    """Yield every operator of a network, equal layers once, and the loss."""
    network = build(model, dtype=dtype, device=device)
    found: list[Replay] = []
    hooks = [
        module.register_forward_pre_hook(partial(_keep, found, operator, samples))
        for operator, module in _modules(network)
    ]
    inputs, targets = example_batch(model, samples, device=device)
    with torch.no_grad():
        outputs = network(*_in_format(_as_tuple(inputs), dtype))
    for hook in hooks:
        hook.remove()
    yield from found
    last = model.layers[-1].operators[-1]
    if isinstance(last, Elementwise) and isinstance(last.function, Loss):
        own = partial(_loss_of, loss(model), targets)
        yield Replay(last, own, _copied((outputs,), is_input=False), samples)


def _loss_of(own: Any, targets: Any, outputs: Any) -> Any:
    return own(outputs, targets)


def _modules(network: nn.Module) -> Iterator[tuple[Operator, nn.Module]]:
    """Yield operators with their modules, equal layers once."""
    seen: set[int] = set()
    for layer in network.modules():
        if isinstance(layer, LayerModule) and id(layer.layer) not in seen:
            seen.add(id(layer.layer))
            for step in layer.steps:
                yield step.operator, layer.get_submodule(step.module)


def _keep(
    found: list[Replay],
    operator: Operator,
    samples: int,
    module: nn.Module,
    arguments: tuple[Any, ...],
) -> None:
    is_input = not getattr(operator, "needs_input_gradient", True)
    copies = _copied(arguments, is_input=is_input)
    found.append(Replay(operator, module, copies, samples))


def _copied(values: Any, *, is_input: bool) -> Any:
    """Return values with tensors of their own, of which gradients may be wanted."""
    if isinstance(values, Tensor):
        copy = values.detach().clone(memory_format=torch.preserve_format)
        return copy.requires_grad_(values.is_floating_point() and not is_input)
    if isinstance(values, tuple):
        parts = [_copied(each, is_input=is_input) for each in values]
        return type(values)(*parts) if hasattr(values, "_fields") else tuple(parts)
    return values


def tensors(values: Any) -> list[Tensor]:
    """Return all tensors in nested tuples."""
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, tuple):
        return [each for value in values for each in tensors(value)]
    return []


def _as_tuple(values: Any) -> tuple[Any, ...]:
    return values if isinstance(values, tuple) else (values,)


def _in_format(values: tuple[Any, ...], dtype: torch.dtype) -> tuple[Any, ...]:
    return tuple(
        each.to(dtype) if each.is_floating_point() else each for each in values
    )
