"""Synthetic samples and the loss, as the first and the last operators ask for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from models.model import Model
from models.operators import Embedding, EmbeddingBag
from models.recommendation import dense_features
from models.samples import first_operator, loss_kind, rows_and_classes, sample_shape

Batch = tuple[Any, Any]
"""Inputs and targets: tensors, or tuples of them."""


def example_batch(
    model: Model, samples: int, *, seed: int = 0, device: torch.device | str = "cpu"
) -> Batch:
    """Return random inputs and targets, the same for the same seed.

    Args:
        model: the layer table.
        samples: of the batch [1].
        seed: of the numbers.
        device: where they go.
    """
    generator = torch.Generator().manual_seed(seed)
    inputs = _inputs(model, samples, generator)
    targets = _targets(model, samples, generator)
    return _moved(inputs, device), _moved(targets, device)


def _moved(values: Any, device: torch.device | str) -> Any:
    if isinstance(values, tuple):
        return tuple(value.to(device) for value in values)
    return values.to(device)


def _inputs(model: Model, samples: int, generator: torch.Generator) -> Any:
    first = first_operator(model)
    match first:
        case Embedding():
            shape = samples, first.rows
            return torch.randint(first.entries, shape, generator=generator)
        case EmbeddingBag():
            bags = [
                torch.randint(bag.entries, (samples, bag.rows), generator=generator)
                for bag in model.layers[0].operators
                if isinstance(bag, EmbeddingBag)
            ]
            dense = samples, dense_features(model)
            return (torch.randn(dense, generator=generator), *bags)
    numbers = sample_shape(model)
    assert numbers is not None, first
    return torch.randn((samples, *numbers), generator=generator)


def _targets(model: Model, samples: int, generator: torch.Generator) -> Any:
    """Return a class a row of logits, or a number each where the loss is binary."""
    last = model.layers[-1]
    kind = loss_kind(model)
    if kind is None:
        return torch.zeros(samples)
    if kind == "binary cross entropy":
        pixels = last.output_elements
        return torch.rand((samples, pixels), generator=generator)
    rows, classes = rows_and_classes(model)
    shape = (samples, rows) if rows > 1 else (samples,)
    targets = torch.randint(classes, shape, generator=generator)
    if not last.leaves:
        return targets
    return targets, torch.randint(2, (samples,), generator=generator)


def loss(model: Model) -> Callable[[Any, Any], Tensor]:
    """Return the loss of a batch from outputs and targets, a mean over its samples.

    A network without a loss gets half the mean square of what it puts out, so that
    the gradient at its top is that output.
    """
    match loss_kind(model):
        case "cross entropy":
            return _cross_entropy
        case "binary cross entropy":
            return _binary_cross_entropy
        case "distance":
            return _distance
    return _half_square


def _cross_entropy(outputs: Any, targets: Any) -> Tensor:
    """Return the cross entropy, summed over the heads if there are several."""
    if isinstance(outputs, tuple):
        return torch.stack(
            [_cross_entropy(*pair) for pair in zip(outputs, targets, strict=True)]
        ).sum()
    rows = outputs.flatten(0, -2).float()
    return functional.cross_entropy(rows, targets.flatten())


def _binary_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(
        outputs.flatten(1).float(), targets
    )


def _distance(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the distance to the code of the right class (LeCun et al., 1998)."""
    return outputs.float().gather(1, targets[:, None]).mean()


def _half_square(outputs: Tensor, targets: Tensor) -> Tensor:
    del targets
    return outputs.float().square().mean() / 2
