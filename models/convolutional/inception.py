"""Inception-v3, with or without the auxiliary classifier that training adds.

Source: Szegedy et al., arXiv:1512.00567; dimensions from pytorch/vision inception.py.
"""

from __future__ import annotations

from dataclasses import replace

from models.convolutional.blocks import Maps, auxiliary_join
from models.convolutional.inception_modules import (
    MODULE_B,
    MODULE_D,
    MODULE_E,
    Branch,
    Conv,
    conv_norm_relu,
    module,
    module_a,
    module_c,
)
from models.convolutional.path import Path
from models.model import Layer, Model
from models.operators import Operator

IMAGE = Maps(3, 299, 299)
_MODULES: tuple[tuple[str, tuple[Branch, ...]], ...] = (
    ("5b", module_a(32)),
    ("5c", module_a(64)),
    ("5d", module_a(64)),
    ("6a", MODULE_B),
    ("6b", module_c(128)),
    ("6c", module_c(160)),
    ("6d", module_c(160)),
    ("6e", module_c(192)),
    ("7a", MODULE_D),
    ("7b", MODULE_E),
    ("7c", MODULE_E),
)
_READ_BY_AUXILIARY = "6e"


def inception_v3(*, has_auxiliary: bool = True) -> Model:
    """Return Inception-v3; the auxiliary head is part of the module it reads, 6e."""
    layers, maps = _stem()
    built: dict[tuple[Maps, tuple[Branch, ...]], tuple[Layer, Maps]] = {}
    for name, branches in _MODULES:
        key = (maps, branches)
        if key not in built:
            path = module(maps, branches)
            if name == _READ_BY_AUXILIARY and has_auxiliary:
                path = replace(path, operators=path.operators + _auxiliary(path.maps))
            built[key] = path.layer(f"mixed {name}"), path.maps
        layer, maps = built[key]
        layers.append(layer)
    pooled = Path(maps).average_pool("average", maps.height)
    head = pooled.dropout("dropout", keeps_input=False).linear("fc", 1000).loss()
    layers.append(head.layer("head"))
    name = "inception-v3" if has_auxiliary else "inception-v3-no-aux"
    return Model(name, tuple(layers), 1)


def _stem() -> tuple[list[Layer], Maps]:
    """Return five convolutions and two poolings, a layer each convolution."""
    layers: list[Layer] = []
    path = Path(IMAGE)
    # The last column says whether a pooling follows.
    rows = (
        ("1a", Conv(32, 3, stride=2), False),
        ("2a", Conv(32, 3, padding=0), False),
        ("2b", Conv(64, 3), True),
        ("3b", Conv(80), False),
        ("4a", Conv(192, 3, padding=0), True),
    )
    for name, conv, is_pooled in rows:
        path = conv_norm_relu(
            path.fresh(),
            f"conv {name}",
            conv,
            needs_input_gradient=path.maps != IMAGE,
        )
        if is_pooled:
            path = path.max_pool(f"pool {name}", 3, stride=2)
        layers.append(path.layer(f"conv {name}"))
    return layers, path.maps


def _auxiliary(maps: Maps) -> tuple[Operator, ...]:
    """Return the auxiliary classifier over `maps`."""
    path = Path(maps).average_pool("auxiliary average", 5, stride=3)
    path = conv_norm_relu(path, "auxiliary conv1", Conv(128))
    path = conv_norm_relu(path, "auxiliary conv2", Conv(768, 5, padding=0))
    path = path.linear("auxiliary fc", 1000).loss("auxiliary cross entropy")
    return (*path.operators, auxiliary_join(maps))
