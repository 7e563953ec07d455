"""Models by name, and what a plan may change about them.

    build("gpt2", {"layers": 24})
    build("gpt", {"layers": 2, "hidden": 64, "heads": 4, "sequence_length": 128,
                  "vocabulary": 1000})
    build("mine", {"family": "mlp", "widths": [784, 512, 10]})

A name is a published model or a family; a family wants all its dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from models.lstm import LSTM_KEYS, LstmShape, lstm
from models.mlp import mlp
from models.model import Model
from models.networks import NETWORKS
from models.overrides import integer, refuse_unknown, require
from models.published import PUBLISHED
from models.transformer import transformer
from models.transformer_overrides import free_shape, replaced_shape

MLP_KEYS = ("widths",)
FAMILIES = ("gpt", "bert", "llama", "mlp", "lstm")

_TRANSFORMERS = {record.name: record for record in PUBLISHED}


class UnknownModel(ValueError):  # noqa: N818 - the plan names no such model
    """A name that is neither a published model nor a family."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a catalogue lists about a model.

    Fields:
        name: as a plan writes it.
        family: such as `gpt`, `mlp` or `convolutional`.
        parameters: trainable parameters, tied weights once [1].
        layers: layers that a pipeline may divide [1].
        tokens_per_sample: sequence length, or 1 for an image [1].
        source: where the dimensions were read.
    """

    name: str
    family: str
    parameters: int
    layers: int
    tokens_per_sample: int
    source: str


def names() -> tuple[str, ...]:
    """Return the published names that `build` knows; families are in `FAMILIES`."""
    return (*NETWORKS, *_TRANSFORMERS)


def build(name: str, overrides: Mapping[str, object] | None = None) -> Model:
    """Return the model `name` with some of its dimensions replaced.

    Args:
        name: a published name, a family, or any label beside a `family` override.
        overrides: `TRANSFORMER_KEYS` of `models.transformer_overrides`, `MLP_KEYS`,
            `LSTM_KEYS` or `IMAGE_KEYS`, by name.

    Raises:
        UnknownModel: for a name that nothing matches; it suggests the nearest.
        ValueError: for an override that is not allowed or does not fit.
    """
    changes = dict(overrides or {})
    family = changes.pop("family", name if name in FAMILIES else None)
    if family is not None:
        if name in names():
            raise ValueError(f"family: {name} is a published model; leave family out")
        return _free(name, family, changes)
    if name in NETWORKS:
        network = NETWORKS[name]
        refuse_unknown(name, changes, allowed=network.overrides)
        return network.build(**{key: integer(key, changes[key]) for key in changes})
    if name not in _TRANSFORMERS:
        raise UnknownModel(_unknown(name))
    shape = replaced_shape(name, _TRANSFORMERS[name].shape, changes)
    return transformer(name, shape)


def describe(name: str) -> Description:
    """Return what the catalogue lists about the published model `name`."""
    model = build(name)
    if name in _TRANSFORMERS:
        family: str = _TRANSFORMERS[name].shape.family
        source = _TRANSFORMERS[name].source
    elif name in NETWORKS:
        family, source = model.family, NETWORKS[name].source
    else:
        raise UnknownModel(_unknown(name))
    return Description(
        name=name,
        family=family,
        parameters=model.parameters,
        layers=model.num_blocks,
        tokens_per_sample=model.tokens_per_sample,
        source=source,
    )


def _free(name: str, family: object, changes: dict[str, object]) -> Model:
    """Return a model of `family` whose dimensions are all in `changes`."""
    if family not in FAMILIES:
        raise ValueError(f"family: {family!r} is none of {', '.join(FAMILIES)}")
    if family == "mlp":
        refuse_unknown("mlp", changes, allowed=MLP_KEYS)
        require("mlp", changes, MLP_KEYS)
        return mlp(_widths(changes["widths"]), name)
    if family == "lstm":
        refuse_unknown("lstm", changes, allowed=LSTM_KEYS)
        require("lstm", changes, LSTM_KEYS)
        return lstm(name, _lstm_shape(changes))
    return transformer(name, free_shape(str(family), changes))


def _lstm_shape(changes: Mapping[str, object]) -> LstmShape:
    layers, hidden, steps, vocabulary = (
        integer(key, changes[key]) for key in LSTM_KEYS
    )
    return LstmShape(layers, hidden, steps, vocabulary)


def _widths(value: object) -> tuple[int, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"widths: {value!r} is not a list such as [784, 512, 10]")  # noqa: TRY004
    return tuple(integer("widths", width) for width in value)


def _unknown(name: str) -> str:
    known = (*names(), *FAMILIES)
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"nearest: {', '.join(near)}" if near else f"known: {', '.join(known)}"
    return f"model: {name!r} is unknown; {hint}"
