"""One row an operator of the layer table: the torch module that executes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import nn

from calibration.modules import attention, maps, pointwise, products
from calibration.modules.placing import Placing
from calibration.modules.uncovered import Uncovered
from models import functions, mixture, operators
from models.flash_attention import FlashAttention
from models.softmax import MaskedSoftmax


class Recipe(NamedTuple):
    """How modules are made.

    Fields:
        place: device and format of the parameters.
        dropout: probability where the table has a dropout [1].
    """

    place: Placing
    dropout: float


def _pool(function: functions.Pool, recipe: Recipe) -> nn.Module:
    if function.kind == "scaled":
        return maps.ScaledPool(function, recipe.place)
    return maps.Pooled(function)


Maker = Callable[[Any, Recipe], nn.Module]
"""Returns the module of a record of `models`."""

_OPERATORS: Mapping[type, Maker] = {
    operators.Linear: lambda each, recipe: products.Matrix(each, recipe.place),
    operators.Embedding: lambda each, recipe: products.Table(each, recipe.place),
    operators.EmbeddingBag: lambda each, recipe: products.Bag(each, recipe.place),
    operators.BatchedProduct: lambda each, _: _PRODUCTS[each.name](each),
    operators.Convolution: lambda each, recipe: maps.Filters(each, recipe.place),
    operators.LocallyConnected: lambda each, recipe: maps.LocalFilters(
        each, recipe.place
    ),
    operators.Lstm: lambda each, recipe: maps.Recurrent(each, recipe.place),
    mixture.ExpertLinear: lambda each, recipe: products.Experts(each, recipe.place),
    mixture.TokenExchange: lambda each, _: _EXCHANGES[each.direction](each),
    MaskedSoftmax: lambda each, _: attention.Softmax(each),
    FlashAttention: lambda each, _: attention.Flash(each),
}
_PRODUCTS: Mapping[str, Callable[..., nn.Module]] = {
    "scores": products.Scores,
    "context": products.Context,
    "pairs": products.Square,
}
"""Products of two activations by their names in the layer table."""
_EXCHANGES: Mapping[str, Callable[..., nn.Module]] = {
    "dispatch": pointwise.Dispatch,
    "combine": pointwise.Combine,
}

_FUNCTIONS: Mapping[type, Maker] = {
    functions.Activation: lambda each, _: pointwise.Activate(each),
    functions.Gate: lambda each, _: pointwise.Gated(each.block),
    functions.Normalisation: lambda each, recipe: _NORMS[each.kind](each, recipe.place),
    functions.Addition: lambda each, recipe: pointwise.Sum(
        recipe.dropout * each.has_dropout
    ),
    functions.Dropout: lambda each, recipe: pointwise.Dropped(
        recipe.dropout, of_maps=each.of_maps
    ),
    functions.Routing: lambda each, _: pointwise.Route(each),
    functions.Identity: lambda _, __: nn.Identity(),
    functions.Heads: lambda each, _: attention.HeadLayout(each),
    functions.HeadNorm: lambda each, _: attention.HeadNormed(each),
    functions.HeadGains: lambda each, recipe: attention.HeadGained(each, recipe.place),
    functions.LatentHeads: lambda each, _: attention.LatentLayout(each),
    functions.JoinedHeads: lambda _, __: attention.JoinHeads(),
    functions.Pool: _pool,
    functions.Contrast: lambda each, _: maps.Contrasted(each),
    functions.Concatenation: lambda _, __: maps.Joined(),
    functions.Doubling: lambda _, __: maps.Doubled(),
    functions.Shift: lambda _, __: maps.Shifted(),
    functions.Stack: lambda _, __: maps.Stacked(),
    functions.Pairs: lambda _, __: maps.PairsPicked(),
    functions.Distances: lambda each, _: maps.Compared(each.classes),
}
_NORMS: Mapping[str, Callable[..., nn.Module]] = {
    "layer": pointwise.LayerNormed,
    "rms": pointwise.RmsNormed,
    "batch": maps.BatchNormed,
    "instance": lambda _, __: maps.InstanceNormed(),
}


def module_of(operator: operators.Operator, recipe: Recipe) -> nn.Module:
    """Return the module that executes `operator`."""
    if isinstance(operator, operators.Elementwise):
        record: object = operator.function
        makers = _FUNCTIONS
    else:
        record, makers = operator, _OPERATORS
    if type(record) not in makers:
        raise Uncovered(f"operator {operator.name!r}: nothing executes it yet")
    _refuse_unbalanced(record)
    return makers[type(record)](record, recipe)


def _refuse_unbalanced(record: object) -> None:
    """Refuse experts whose parts of a sample's rows are not equal and whole."""
    if not isinstance(record, mixture.ExpertLinear):
        return
    if record.capacity != 1:
        raise Uncovered(
            f"operator {record.name!r}: capacity_factor {record.capacity} pads or drops"
            " tokens; only 1 is executed"
        )
    if record.rows % record.experts:
        raise Uncovered(
            f"operator {record.name!r}: {record.experts} experts do not divide the"
            f" {record.rows} rows of a sample"
        )
