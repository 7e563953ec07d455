"""VGG-11, VGG-16 and VGG-19 without batch normalisation.

Source: Simonyan and Zisserman, arXiv:1409.1556; dimensions from pytorch/vision vgg.py,
    configurations A, D and E.
"""

from __future__ import annotations

from itertools import pairwise

from models.convolutional.blocks import Maps, thinned
from models.convolutional.path import Path
from models.model import Layer, Model

_CHANNELS = (64, 128, 256, 512, 512)
# Convolutions in each of the five groups that end in a pooling.
_GROUPS = {11: (1, 1, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def vgg(depth: int, image: int = 224, thinning: int = 1) -> Model:
    """Return the VGG of `depth` weight layers: 11, 16 or 19.

    Args:
        depth: weight layers [1].
        image: height and width of a sample [1].
        thinning: by what channels and hidden features are divided [1].
    """
    maps = Maps(3, image, image)
    layers: list[Layer] = []
    groups = zip(_GROUPS[depth], _CHANNELS, strict=True)
    for number, (num_convs, channels) in enumerate(groups, start=1):
        width = thinned(channels, thinning)
        group, maps = _group(f"conv{number}", maps, width, num_convs)
        layers += group
    return Model(
        f"vgg{depth}", (*layers, *_classifier(maps, thinned(4096, thinning))), 1
    )


def _group(
    name: str, maps: Maps, channels: int, num_convs: int
) -> tuple[list[Layer], Maps]:
    """Return the convolutions of one group; equal ones are one object."""
    layers: list[Layer] = []
    path = Path(maps)
    middle: Layer | None = None
    for number in range(1, num_convs + 1):
        is_middle = 1 < number < num_convs
        if is_middle and middle:
            layers.append(middle)
            continue
        own = f"{name}_{number}"
        path = path.conv(
            own,
            channels,
            3,
            padding=1,
            bias=True,
            needs_input_gradient=own != "conv1_1",
        ).relu(f"{own} relu")
        if number == num_convs:
            path = path.max_pool(f"{own} pool", 2, stride=2)
        layers.append(path.layer(own))
        middle = layers[-1] if is_middle else None
        path = path.fresh()
    return layers, path.maps


def _classifier(maps: Maps, hidden: int) -> tuple[Layer, ...]:
    """Return three fully connected layers; a dropout reads the ReLU before it."""
    features = (maps.elements, hidden, hidden, 1000)
    layers: list[Layer] = []
    for number, (inner, outer) in enumerate(pairwise(features), start=1):
        name = f"fc{number}"
        path = Path(Maps(inner, 1, 1))
        if number > 1:
            path = path.dropout(f"{name} dropout")
        path = path.linear(name, outer)
        path = path.loss() if number == 3 else path.relu(f"{name} relu")
        layers.append(path.layer(name))
    return tuple(layers)
