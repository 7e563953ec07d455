"""OverFeat, the fast model, as convnet-benchmarks timed it: without dropout and loss.

A pooling of its own would be cut from its convolution by no pipeline, so that a layer
is a convolution or matrix with what follows it.

Source: Sermanet et al., arXiv:1312.6229, table 1 (from memory); dimensions from
    soumith/convnet-benchmarks torch7/imagenet_winners/overfeat.lua.
"""

from __future__ import annotations

from typing import NamedTuple

from models.convolutional.blocks import Maps
from models.convolutional.path import Path
from models.model import Layer, Model

IMAGE = Maps(3, 231, 231)


class _Row(NamedTuple):
    channels: int
    kernel: int
    stride: int
    padding: int
    is_pooled: bool


_CONVOLUTIONS = (
    _Row(96, 11, 4, 0, True),
    _Row(256, 5, 1, 0, True),
    _Row(512, 3, 1, 1, False),
    _Row(1024, 3, 1, 1, False),
    _Row(1024, 3, 1, 1, True),
)
_FEATURES = (3072, 4096, 1000)


def overfeat() -> Model:
    """Return OverFeat [fast]: five convolutions and three fully connected layers."""
    layers: list[Layer] = []
    path = Path(IMAGE)
    for number, row in enumerate(_CONVOLUTIONS, start=1):
        name = f"conv{number}"
        path = path.conv(
            name,
            row.channels,
            row.kernel,
            stride=row.stride,
            padding=row.padding,
            bias=True,
            needs_input_gradient=number > 1,
        ).relu(f"relu{number}")
        if row.is_pooled:
            path = path.max_pool(f"pool{number}", 2, stride=2)
        layers.append(path.layer(name))
        path = path.fresh()
    for number, features in enumerate(_FEATURES, start=6):
        name = f"fc{number}"
        path = path.linear(name, features)
        if features != _FEATURES[-1]:
            path = path.relu(f"relu{number}")
        layers.append(path.layer(name))
        path = path.fresh()
    return Model("overfeat-fast", tuple(layers), 1)
