"""ResNet-18 to ResNet-152, with the stride on the 3x3 filter ("v1.5").

Source: He et al., arXiv:1512.03385; parameters and FLOP equal those of torchvision
    0.28, which the tests hold.
"""

from __future__ import annotations

from models.convolutional.blocks import Maps, residual
from models.convolutional.path import Path
from models.model import Layer, Model

IMAGE = Maps(3, 224, 224)
# Blocks in each of the four stages, and whether a block is a bottleneck.
_STAGES = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}
DEPTHS = tuple(_STAGES)


def resnet(depth: int) -> Model:
    """Return the ResNet of `depth`: a stem, its residual blocks and a head."""
    stages, is_bottleneck = _STAGES[depth]
    stem = (
        Path(IMAGE)
        .conv("conv1", 64, 7, stride=2, padding=3, needs_input_gradient=False)
        .norm("norm1")
        .relu("relu1")
        .max_pool("pool1", 3, stride=2, padding=1)
    )
    layers = [stem.layer("stem")]
    maps = stem.maps
    for number, num_blocks in enumerate(stages, start=1):
        width = 32 * 2**number
        first = _block(maps, width, 1 if number == 1 else 2, is_bottleneck)
        rest = _block(first.maps, width, 1, is_bottleneck).layer(f"stage {number}")
        # Only the first block of a stage changes dimensions; without bottlenecks, that
        # of the first stage does not.
        is_like_rest = first.maps == maps
        layers.append(rest if is_like_rest else first.layer(f"stage {number} first"))
        layers += [rest] * (num_blocks - 1)
        maps = first.maps
    layers.append(_head(maps))
    return Model(f"resnet{depth}", tuple(layers), 1)


def _block(maps: Maps, width: int, stride: int, is_bottleneck: bool) -> Path:
    """Return one residual block; its shortcut is projected where dimensions change."""
    path = Path(maps)
    if is_bottleneck:
        channels = 4 * width
        path = path.conv("conv1", width, 1).norm("norm1").relu("relu1")
        path = path.conv("conv2", width, 3, stride=stride, padding=1)
        path = path.norm("norm2").relu("relu2")
        path = path.conv("conv3", channels, 1).norm("norm3")
    else:
        channels = width
        path = path.conv("conv1", width, 3, stride=stride, padding=1)
        path = path.norm("norm1").relu("relu1")
        path = path.conv("conv2", channels, 3, padding=1).norm("norm2")
    if path.maps != maps:
        shortcut = (
            Path(maps)
            .conv("shortcut", channels, 1, stride=stride, keeps_input=False)
            .norm("shortcut norm")
        )
        path = Path(path.maps, path.operators + shortcut.operators)
    return path.then(residual("residual", path.maps)).relu("relu")


def _head(maps: Maps) -> Layer:
    pooled = Path(maps).average_pool("average", maps.height, keeps_input=True)
    return pooled.linear("fc", 1000).loss().layer("head")
