"""GoogLeNet (Inception v1), with or without the two auxiliary classifiers of training.

It is torchvision's: batch normalisation behind every convolution, and 3x3 filters where
the paper has 5x5.

Source: Szegedy et al., arXiv:1409.4842; dimensions from pytorch/vision googlenet.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from models.convolutional.blocks import Maps, auxiliary_join
from models.convolutional.inception_modules import (
    MAXIMUM_SAME,
    Branch,
    Conv,
    conv_norm_relu,
    module,
)
from models.convolutional.path import Path
from models.model import Layer, Model
from models.operators import Operator

IMAGE = Maps(3, 224, 224)


class Module(NamedTuple):
    """One module, and what stands behind it.

    Fields:
        name: of the paper's table 1.
        channels: of the 1x1; of the narrowing 1x1 and the 3x3 behind it, twice; of the
            1x1 behind the pooling [1].
        pool: window of the pooling that follows with stride 2; 0 for none [1].
        has_auxiliary: whether an auxiliary classifier reads its output.
    """

    name: str
    channels: tuple[int, int, int, int, int, int]
    pool: int = 0
    has_auxiliary: bool = False


_MODULES = (
    Module("3a", (64, 96, 128, 16, 32, 32)),
    Module("3b", (128, 128, 192, 32, 96, 64), pool=3),
    Module("4a", (192, 96, 208, 16, 48, 64), has_auxiliary=True),
    Module("4b", (160, 112, 224, 24, 64, 64)),
    Module("4c", (128, 128, 256, 24, 64, 64)),
    Module("4d", (112, 144, 288, 32, 64, 64), has_auxiliary=True),
    Module("4e", (256, 160, 320, 32, 128, 128), pool=2),
    Module("5a", (256, 160, 320, 32, 128, 128)),
    Module("5b", (384, 192, 384, 48, 128, 128)),
)


def googlenet(*, has_auxiliary: bool = True) -> Model:
    """Return GoogLeNet; an auxiliary head is part of the module that it reads."""
    layers, maps = _stem()
    for each in _MODULES:
        path = module(maps, _branches(each.channels))
        if each.has_auxiliary and has_auxiliary:
            path = replace(path, operators=path.operators + _auxiliary(path.maps))
        if each.pool:
            path = path.max_pool("pool", each.pool, stride=2, is_ceiled=True)
        layers.append(path.layer(f"inception {each.name}"))
        maps = path.maps
    pooled = Path(maps).average_pool("average", maps.height)
    head = pooled.dropout("dropout", keeps_input=False).linear("fc", 1000).loss()
    layers.append(head.layer("head"))
    name = "googlenet" if has_auxiliary else "googlenet-no-aux"
    return Model(name, tuple(layers), 1)


def _branches(channels: tuple[int, int, int, int, int, int]) -> tuple[Branch, ...]:
    single, narrow, wide, narrower, small, pooled = channels
    return (
        (Conv(single),),
        (Conv(narrow), Conv(wide, 3)),
        (Conv(narrower), Conv(small, 3)),
        (MAXIMUM_SAME, Conv(pooled)),
    )


def _stem() -> tuple[list[Layer], Maps]:
    """Return three convolutions and two poolings, a layer each convolution."""
    layers: list[Layer] = []
    path = Path(IMAGE)
    # The last column says whether a pooling follows.
    rows = (
        ("conv1", Conv(64, 7, stride=2, padding=3), True),
        ("conv2", Conv(64), False),
        ("conv3", Conv(192, 3), True),
    )
    for name, conv, is_pooled in rows:
        is_first = path.maps == IMAGE
        path = conv_norm_relu(
            path.fresh(), name, conv, needs_input_gradient=not is_first
        )
        if is_pooled:
            path = path.max_pool(f"{name} pool", 3, stride=2, is_ceiled=True)
        layers.append(path.layer(name))
    return layers, path.maps


def _auxiliary(maps: Maps) -> tuple[Operator, ...]:
    """Return the auxiliary classifier over `maps`."""
    path = Path(maps).average_pool("auxiliary average", 5, stride=3)
    path = conv_norm_relu(path, "auxiliary conv", Conv(128))
    path = path.linear("auxiliary fc1", 1024).relu("auxiliary relu")
    path = path.dropout("auxiliary dropout").linear("auxiliary fc2", 1000)
    path = path.loss("auxiliary cross entropy")
    return (*path.operators, auxiliary_join(maps))
