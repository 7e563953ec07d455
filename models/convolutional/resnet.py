"""ResNet-18 to ResNet-152, with the stride on the 3x3 filter ("v1.5"), and ResNeXt.

A ResNeXt divides the 3x3 filters of a bottleneck into groups of channels; its name
gives their number and width: ResNeXt-50 32x4d has 32 groups of 4 channels.

Source: He et al., arXiv:1512.03385; Xie et al., arXiv:1611.05431; parameters and FLOP
    equal those of torchvision 0.28, which the tests hold.
"""

from __future__ import annotations

from typing import NamedTuple

from models.convolutional.blocks import Maps, residual, thinned
from models.convolutional.path import Path
from models.model import Layer, Model
from models.wiring import INPUT

# Blocks in each of the four stages, and whether a block is a bottleneck.
_STAGES = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}


class Inside(NamedTuple):
    """Channels inside the blocks of a stage.

    Fields:
        width: channels of the 3x3 filters [1].
        outputs: channels that the block puts out [1].
        groups: of the 3x3 filters [1].
        is_bottleneck: whether 1x1 filters stand around one 3x3.
    """

    width: int
    outputs: int
    groups: int
    is_bottleneck: bool


def resnet(depth: int, image: int = 224, thinning: int = 1) -> Model:
    """Return the ResNet of `depth`: a stem, its residual blocks and a head.

    Args:
        depth: weight layers [1].
        image: height and width of a sample [1].
        thinning: by what channels are divided [1].
    """
    is_bottleneck = _STAGES[depth][1]
    widths = [thinned(width, thinning) for width in (64, 128, 256, 512)]
    stages = [
        Inside(width, 4 * width if is_bottleneck else width, 1, is_bottleneck)
        for width in widths
    ]
    return _built(f"resnet{depth}", depth, stages, image)


def resnext(depth: int, groups: int, group_width: int) -> Model:
    """Return a ResNeXt: bottlenecks whose 3x3 filters are divided into groups.

    Args:
        depth: 50 or 101, the ResNet that it varies.
        groups: of channels in every 3x3 filter, "cardinality" [1].
        group_width: channels of a group in the first stage; it doubles with every
            stage [1].
    """
    stages = [
        Inside(groups * group_width * 2**number, 256 * 2**number, groups, True)
        for number in range(4)
    ]
    return _built(f"resnext{depth}-{groups}x{group_width}d", depth, stages)


def _built(name: str, depth: int, stages: list[Inside], image: int = 224) -> Model:
    # The stem of a ResNeXt is no wider than that of the ResNet which it varies.
    stem_width = min(64, stages[0].width)
    stem = (
        Path(Maps(3, image, image))
        .conv("conv1", stem_width, 7, stride=2, padding=3, needs_input_gradient=False)
        .norm("norm1")
        .relu("relu1")
        .max_pool("pool1", 3, stride=2, padding=1)
    )
    layers = [stem.layer("stem")]
    maps = stem.maps
    counted = zip(_STAGES[depth][0], stages, strict=True)
    for number, (num_blocks, inside) in enumerate(counted, start=1):
        first = _block(maps, inside, 1 if number == 1 else 2)
        rest = _block(first.maps, inside, 1).layer(f"stage {number}")
        # Only the first block of a stage changes dimensions; without bottlenecks, that
        # of the first stage does not.
        is_like_rest = first.maps == maps
        layers.append(rest if is_like_rest else first.layer(f"stage {number} first"))
        layers += [rest] * (num_blocks - 1)
        maps = first.maps
    layers.append(_head(maps))
    return Model(name, tuple(layers), 1)


def _block(maps: Maps, inside: Inside, stride: int) -> Path:
    """Return one residual block; its shortcut is projected where dimensions change."""
    width, channels, groups, is_bottleneck = inside
    path = Path(maps)
    if is_bottleneck:
        path = path.conv("conv1", width, 1).norm("norm1").relu("relu1")
        path = path.conv("conv2", width, 3, stride=stride, padding=1, groups=groups)
        path = path.norm("norm2").relu("relu2")
        path = path.conv("conv3", channels, 1).norm("norm3")
    else:
        path = path.conv("conv1", width, 3, stride=stride, padding=1)
        path = path.norm("norm1").relu("relu1")
        path = path.conv("conv2", channels, 3, padding=1).norm("norm2")
    if path.maps != maps:
        shortcut = (
            Path(maps)
            .conv("shortcut", channels, 1, stride=stride, keeps_input=False)
            .norm("shortcut norm")
        )
        summed = path.end, shortcut.end
        path = path.beside(shortcut, INPUT)
    else:
        summed = path.end, INPUT
    return path.then(residual("residual", path.maps), reads=summed).relu("relu")


def _head(maps: Maps) -> Layer:
    pooled = Path(maps).average_pool("average", maps.height, keeps_input=True)
    return pooled.linear("fc", 1000).loss().layer("head")
