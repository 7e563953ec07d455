"""Models by name, and what a plan may change about them.

    build("gpt2", {"layers": 24})
    build("gpt", {"layers": 2, "hidden": 64, "heads": 4, "sequence_length": 128,
                  "vocabulary": 1000})
    build("mine", {"family": "mlp", "widths": [784, 512, 10]})

A name is a published model or a family; a family wants all its dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import cast

from models.convolutional import alexnet, inception_v3, resnet, vgg
from models.mlp import mlp
from models.model import Model
from models.published import PUBLISHED, gpt, llama
from models.transformer import TransformerShape, transformer
from models.transformer_shape import Attention

_DIMENSIONS = (
    "layers",
    "hidden",
    "heads",
    "kv_heads",
    "feed_forward",
    "sequence_length",
    "vocabulary",
)
TRANSFORMER_KEYS = (*_DIMENSIONS, "attention")
MLP_KEYS = ("widths",)
FAMILIES = ("gpt", "bert", "llama", "mlp")

_VGG = "Simonyan and Zisserman, arXiv:1409.1556, as in torchvision"
_RESNET = "He et al., arXiv:1512.03385, as in torchvision"
_INCEPTION = "Szegedy et al., arXiv:1512.00567, as in torchvision"
_TRANSFORMERS = {record.name: record for record in PUBLISHED}
_IMAGE_MODELS: Mapping[str, tuple[Callable[[], Model], str]] = {
    "alexnet": (alexnet, "Krizhevsky, arXiv:1404.5997, as in torchvision"),
    "vgg11": (lambda: vgg(11), _VGG),
    "vgg16": (lambda: vgg(16), _VGG),
    "vgg19": (lambda: vgg(19), _VGG),
    "resnet18": (lambda: resnet(18), _RESNET),
    "resnet34": (lambda: resnet(34), _RESNET),
    "resnet50": (lambda: resnet(50), _RESNET),
    "resnet101": (lambda: resnet(101), _RESNET),
    "resnet152": (lambda: resnet(152), _RESNET),
    "inception-v3": (inception_v3, _INCEPTION),
    "inception-v3-no-aux": (
        lambda: inception_v3(has_auxiliary=False),
        f"{_INCEPTION}; without the auxiliary head",
    ),
}


class UnknownModel(ValueError):  # noqa: N818 - the plan names no such model
    """A name that is neither a published model nor a family."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a catalogue lists about a model.

    Fields:
        name: as a plan writes it.
        family: `gpt`, `bert`, `llama`, `mlp` or `convolutional`.
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
    return (*_IMAGE_MODELS, *_TRANSFORMERS)


def build(name: str, overrides: Mapping[str, object] | None = None) -> Model:
    """Return the model `name` with some of its dimensions replaced.

    Args:
        name: a published name, a family, or any label beside a `family` override.
        overrides: `TRANSFORMER_KEYS`, or `MLP_KEYS`, by name.

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
    if name in _IMAGE_MODELS:
        _refuse_unknown(name, changes, allowed=())
        return _IMAGE_MODELS[name][0]()
    if name not in _TRANSFORMERS:
        raise UnknownModel(_unknown(name))
    shape = _replaced(name, _TRANSFORMERS[name].shape, changes)
    return transformer(name, shape)


def describe(name: str) -> Description:
    """Return what the catalogue lists about the published model `name`."""
    model = build(name)
    if name in _TRANSFORMERS:
        family: str = _TRANSFORMERS[name].shape.family
        source = _TRANSFORMERS[name].source
    elif name in _IMAGE_MODELS:
        family, source = "convolutional", _IMAGE_MODELS[name][1]
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
        _refuse_unknown("mlp", changes, allowed=MLP_KEYS)
        _require("mlp", changes, MLP_KEYS)
        return mlp(_widths(changes["widths"]), name)
    _refuse_unknown(str(family), changes, allowed=TRANSFORMER_KEYS)
    needed = ["layers", "hidden", "heads", "sequence_length", "vocabulary"]
    if family == "llama":
        needed.append("feed_forward")
    _require(str(family), changes, needed)
    kernel = changes.pop("attention", None)
    dims = {key: _integer(key, value) for key, value in changes.items()}
    layers, hidden, heads = dims["layers"], dims["hidden"], dims["heads"]
    kv_heads = dims.get("kv_heads", heads)
    tokens, vocabulary = dims["sequence_length"], dims["vocabulary"]
    if family == "llama":
        inner = dims["feed_forward"]
        shape = llama(layers, hidden, heads, kv_heads, inner, tokens, vocabulary)
    else:
        plain = gpt(layers, hidden, heads, tokens, vocabulary, family=str(family))
        inner = dims.get("feed_forward", plain.feed_forward)
        shape = replace(plain, kv_heads=kv_heads, feed_forward=inner)
    return transformer(name, _with_attention(shape, kernel))


def _replaced(
    name: str, shape: TransformerShape, changes: dict[str, object]
) -> TransformerShape:
    """Return `shape` with `changes` and with what follows from them.

    Feed-forward stays 4h for gpt and bert. Key-value heads follow the heads unless
    they are grouped. A longer sequence lengthens the learned position table.
    """
    _refuse_unknown(name, changes, allowed=TRANSFORMER_KEYS)
    shape = _with_attention(shape, changes.pop("attention", None))
    dims = {key: _integer(key, value) for key, value in changes.items()}
    if "hidden" in dims and "feed_forward" not in dims:
        if shape.family == "llama" and dims["hidden"] != shape.hidden:
            raise ValueError(
                f"feed_forward: {shape.feed_forward} belongs to hidden {shape.hidden}; "
                f"give feed_forward with hidden {dims['hidden']}"
            )
        if shape.family != "llama":
            dims["feed_forward"] = 4 * dims["hidden"]
    if shape.kv_heads == shape.heads:
        dims.setdefault("kv_heads", dims.get("heads", shape.heads))
    tokens = dims.get("sequence_length", shape.sequence_length)
    dims["positions"] = max(shape.positions, tokens) if shape.positions else 0
    kept = {key: getattr(shape, key) for key in _DIMENSIONS}
    return TransformerShape(
        family=shape.family,
        tied=shape.tied,
        attention=shape.attention,
        **(kept | dims),
    )


def _with_attention(shape: TransformerShape, kernel: object) -> TransformerShape:
    """Return `shape` with another attention kernel, if one is given."""
    if kernel is None:
        return shape
    return replace(shape, attention=cast("Attention", kernel))


def _refuse_unknown(
    name: str, changes: Mapping[str, object], *, allowed: Sequence[str]
) -> None:
    for key in changes:
        if key not in allowed:
            what = f"takes {', '.join(allowed)}" if allowed else "has fixed dimensions"
            raise ValueError(f"{key}: no such override; {name} {what}")


def _require(family: str, changes: Mapping[str, object], keys: Sequence[str]) -> None:
    missing = [key for key in keys if key not in changes]
    if missing:
        raise ValueError(f"{missing[0]}: missing; {family} needs {', '.join(keys)}")


def _integer(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{key}: {value!r} is not a whole number")  # noqa: TRY004
    if value < 1:
        raise ValueError(f"{key}: {value} is below 1")
    return value


def _widths(value: object) -> tuple[int, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"widths: {value!r} is not a list such as [784, 512, 10]")  # noqa: TRY004
    return tuple(_integer("widths", width) for width in value)


def _unknown(name: str) -> str:
    known = (*names(), *FAMILIES)
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"nearest: {', '.join(near)}" if near else f"known: {', '.join(known)}"
    return f"model: {name!r} is unknown; {hint}"
