"""One row an operator of the layer table: the torch module that executes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import nn

from calibration.modules.attention import (
    Flash,
    HeadGained,
    HeadLayout,
    HeadNormed,
    JoinHeads,
    LatentLayout,
    Softmax,
)
from calibration.modules.placing import Placing
from calibration.modules.pointwise import (
    Activate,
    Combine,
    Dispatch,
    Dropped,
    Gated,
    LayerNormed,
    RmsNormed,
    Route,
    Sum,
)
from calibration.modules.products import (
    Bag,
    Context,
    Experts,
    Matrix,
    Scores,
    Square,
    Table,
)
from calibration.modules.uncovered import Uncovered
from models.flash_attention import FlashAttention
from models.functions import (
    Activation,
    Addition,
    Dropout,
    Gate,
    HeadGains,
    HeadNorm,
    Heads,
    JoinedHeads,
    LatentHeads,
    Normalisation,
    Routing,
)
from models.mixture import ExpertLinear, TokenExchange
from models.operators import (
    BatchedProduct,
    Elementwise,
    Embedding,
    EmbeddingBag,
    Linear,
    Operator,
)
from models.softmax import MaskedSoftmax


class Recipe(NamedTuple):
    """How modules are made.

    Fields:
        place: device and format of the parameters.
        dropout: probability where the table has a dropout [1].
    """

    place: Placing
    dropout: float


Maker = Callable[[Any, Recipe], nn.Module]
"""Returns the module of a record of `models`."""

_OPERATORS: Mapping[type, Maker] = {
    Linear: lambda each, recipe: Matrix(each, recipe.place),
    ExpertLinear: lambda each, recipe: Experts(each, recipe.place),
    Embedding: lambda each, recipe: Table(each, recipe.place),
    EmbeddingBag: lambda each, recipe: Bag(each, recipe.place),
    BatchedProduct: lambda each, _: _PRODUCTS[each.name](each),
    MaskedSoftmax: lambda each, _: Softmax(each),
    FlashAttention: lambda each, _: Flash(each),
    TokenExchange: lambda each, _: _EXCHANGES[each.direction](each),
}
_PRODUCTS: Mapping[str, Callable[..., nn.Module]] = {
    "scores": Scores,
    "context": Context,
    "pairs": Square,
}
"""Products of two activations by their names in the layer table."""
_EXCHANGES: Mapping[str, Callable[..., nn.Module]] = {
    "dispatch": Dispatch,
    "combine": Combine,
}

_FUNCTIONS: Mapping[type, Maker] = {
    Activation: lambda each, _: Activate(each),
    Gate: lambda each, _: Gated(each.block),
    Normalisation: lambda each, recipe: _NORMS[each.kind](each, recipe.place),
    HeadNorm: lambda each, _: HeadNormed(each),
    HeadGains: lambda each, recipe: HeadGained(each, recipe.place),
    Addition: lambda each, recipe: Sum(recipe.dropout * each.has_dropout),
    Dropout: lambda each, recipe: Dropped(recipe.dropout, of_maps=each.of_maps),
    Heads: lambda each, _: HeadLayout(each),
    LatentHeads: lambda each, _: LatentLayout(each),
    JoinedHeads: lambda _, __: JoinHeads(),
    Routing: lambda each, _: Route(each),
}
_NORMS: Mapping[str, Callable[..., nn.Module]] = {
    "layer": LayerNormed,
    "rms": RmsNormed,
}


def module_of(operator: Operator, recipe: Recipe) -> nn.Module:
    """Return the module that executes `operator`."""
    if isinstance(operator, Elementwise):
        record: object = operator.function
        makers = _FUNCTIONS
    else:
        record, makers = operator, _OPERATORS
    if type(record) not in makers:
        raise Uncovered(f"operator {operator.name!r}: nothing executes it yet")
    return makers[type(record)](record, recipe)
