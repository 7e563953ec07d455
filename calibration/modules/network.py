"""A whole network from the layer table: one module a layer, in the table's order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from calibration.modules.attention import HeadLayout, LatentLayout
from calibration.modules.initial import initialise
from calibration.modules.layer import LayerModule
from calibration.modules.placing import Placing
from calibration.modules.pointwise import Route
from calibration.modules.products import Matrix, Table
from calibration.modules.table import Recipe
from calibration.modules.uncovered import Uncovered
from models.model import Model


class Network(nn.Module):
    """The layers of a model.

    Parameters are named `layers.<number>.<operator>.<tensor>`.

    Fields:
        model: the table.
        layers: one module a layer, equal layers with parameters of their own.
    """

    def __init__(self, model: Model, recipe: Recipe) -> None:
        super().__init__()
        self.model = model
        self.layers = nn.ModuleList(LayerModule(each, recipe) for each in model.layers)
        tie(list(self.layers))

    @override
    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return what the last layer puts out, such as logits."""
        return run(list(self.layers), inputs)


class Part(nn.Module):
    """Some consecutive layers of a network, under the names they have in the whole."""

    def __init__(self, network: Network, numbers: range) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({str(n): network.layers[n] for n in numbers})

    @override
    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return what the last layer of the part puts out."""
        return run(list(self.layers.values()), inputs)


def run(
    layers: Sequence[nn.Module], inputs: tuple[Tensor, ...]
) -> Tensor | tuple[Tensor, ...]:
    """Return what the last of `layers` puts out, each reading the one before."""
    values: Tensor | tuple[Tensor, ...] = inputs
    for layer in layers:
        values = layer(*values) if isinstance(values, tuple) else layer(values)
    return values[0] if isinstance(values, tuple) and len(values) == 1 else values


def build(
    model: Model,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    seed: int = 0,
    dropout: float = 0.0,
) -> Network:
    """Return `model` as a module; on `meta` it has shapes and no numbers.

    Args:
        model: the layer table.
        dtype: of parameters.
        device: of parameters.
        seed: of their first values, which depend on nothing else.
        dropout: probability wherever the table has a dropout [1].

    Raises:
        Uncovered: if nothing executes one of the operators; it names the family.
    """
    meta = torch.device("meta")
    try:
        network = Network(model, Recipe(Placing(meta, dtype), dropout))
    except Uncovered as fault:
        raise Uncovered(f"model {model.name} ({model.family}): {fault}") from None
    if torch.device(device).type != "meta":
        materialise(network, device, seed)
    return network


def materialise(
    network: Network | Part, device: torch.device | str, seed: int = 0
) -> None:
    """Give the parameters of a network on `meta`, or of a part of one, their numbers.

    A part gets those that the whole network has for the same seed.
    """
    network.to_empty(device=device)
    tie(list(network.layers.children()))
    initialise(network, seed)


def place_tokens(network: nn.Module, positions: Tensor | None) -> None:
    """Tell a network, or a part of one, which places of a sample its tokens have.

    For a rank that holds some tokens of every sample; without, they are all in order.
    """
    for module in network.modules():
        if isinstance(module, Table | HeadLayout | LatentLayout | Route):
            module.positions = positions


def tie(layers: Sequence[nn.Module]) -> None:
    """Let matrices without a weight of their own share that of the layer they name.

    A part without that layer keeps a copy, whose gradient is the caller's to add.
    """
    tables: dict[str, nn.Parameter] = {}
    for layer in layers:
        assert isinstance(layer, LayerModule)
        for module in layer.children():
            if isinstance(module, Table):
                tables.setdefault(layer.layer.name, cast("nn.Parameter", module.weight))
            source = tables.get(layer.layer.tied_to or "")
            is_tied = isinstance(module, Matrix) and not module.operator.owns_weight
            if is_tied and source is not None:
                module.weight = source
