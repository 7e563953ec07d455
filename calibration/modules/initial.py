"""First values of parameters, the same on however many ranks.

Every tensor has a generator of its own, seeded by the layer's number and the tensor's,
so that a rank which holds a few layers gives them the numbers of the whole network.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from calibration.modules.products import Bag, Matrix, Table

_STRIDE = 1_000_003  # a prime, so that seeds of layers and tensors do not meet
_EMBEDDING_DEVIATION = 0.02  # of GPT-2's tables (from memory)


@torch.no_grad()
def initialise(network: nn.Module, seed: int = 0) -> None:
    """Give all parameters of a network, or of a part of one, their first values.

    Vectors are one (gains) or zero (biases); matrices are normal with a deviation of
    1 / sqrt(inputs), tables with one of 0.02.
    """
    done: set[int] = set()
    for layer_name, layer in network.get_submodule("layers").named_children():
        number = 0
        for module in layer.children():
            is_tied = isinstance(module, Matrix) and not module.operator.owns_weight
            for name, tensor in module.named_parameters(recurse=False):
                if id(tensor) not in done:
                    own = int(layer_name), number
                    place = (0, 0) if is_tied and name == "weight" else own
                    _fill(module, name, tensor, seed, place)
                done.add(id(tensor))
                number += 1


def _fill(
    module: nn.Module, name: str, tensor: Tensor, seed: int, place: tuple[int, int]
) -> None:
    if tensor.dim() == 1:
        tensor.fill_(0.0 if name.startswith("bias") else 1.0)
        return
    layer, number = place
    generator = torch.Generator().manual_seed(
        (seed * _STRIDE + layer) * _STRIDE + number
    )
    numbers = torch.randn(tensor.shape, generator=generator)
    tensor.copy_(numbers * _deviation(module, tensor))


def _deviation(module: nn.Module, tensor: Tensor) -> float:
    is_table = isinstance(module, Table | Bag)
    is_tied = isinstance(module, Matrix) and not module.operator.owns_weight
    if is_table or is_tied:
        return _EMBEDDING_DEVIATION
    inputs = tensor.shape[1] if tensor.dim() == 3 else tensor[0].numel()
    return 1 / math.sqrt(inputs)
