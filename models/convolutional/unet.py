"""U-Net as torchgpipe simplified it: an encoder, a bottleneck, and a decoder.

`unet(5, 64)` is its U-Net (B, C) = (5, 64): five convolutions a cell, 64 channels at
the first of five levels; each halves height and width and doubles the channels.

Every module of torchgpipe's sequence is a layer here, so that its balances apply: a
convolution, its dropout, its normalisation and its leaky ReLU can be cut apart.

Skip connections: what an encoder stores for its decoder is live from one to the other.
A cut between two layers carries the main path and all skips that are live there, and
`output_elements` counts both. (torchgpipe sends a skip straight to where it is read,
and so over fewer links where a skip spans several stages.)

Source: kakaobrain/torchgpipe benchmarks/models/unet and benchmarks/unet-speed (images
    of 192 x 192); parameters and FLOP equal those of that code, which the tests hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from models.convolutional.blocks import Maps, batch_norm
from models.convolutional.path import Path
from models.functions import (
    Activation,
    Concatenation,
    Doubling,
    Dropout,
    Identity,
    Loss,
    Normalisation,
)
from models.model import Layer, Model
from models.operators import Elementwise
from models.wiring import INPUT, carried

IMAGE = Maps(3, 192, 192)
_DEPTH = 5
_KERNEL = 3


def unet(num_convs: int, channels: int) -> Model:
    """Return the U-Net (B, C) over images of 192 x 192.

    Args:
        num_convs: B, convolutions a cell [1].
        channels: C, feature maps of the first level [1].
    """
    layers: list[Layer] = []
    maps, skips = IMAGE, list[Maps]()
    for level in range(_DEPTH):
        width = channels * 2**level
        live = _elements(skips)
        cell = _cell(f"encoder {level + 1}", maps, [width] * num_convs, live)
        layers += cell
        stored = _sized(maps, width)
        skips.append(stored)
        layers += _stored(stored, _elements(skips))
        maps = stored.slide(2, 2, 0)
    inside = channels * 2**_DEPTH
    widths = [inside] * (num_convs - 1) + [inside // 2]
    layers += _cell("bottleneck", maps, widths, _elements(skips))
    maps = _sized(maps, inside // 2)
    for level in reversed(range(_DEPTH)):
        skip = skips.pop()
        joined = Maps(maps.channels + skip.channels, skip.height, skip.width)
        layers += _restored(maps, joined, _elements(skips), skip)
        width = channels * 2**level // 2
        cell = _cell(
            f"decoder {level + 1}", joined, [width] * num_convs, _elements(skips)
        )
        layers += cell
        maps = _sized(joined, width)
    return Model(f"unet-{num_convs}-{channels}", (*layers, _segment(maps)), 1)


def _elements(skips: list[Maps]) -> int:
    return sum(maps.elements for maps in skips)


def _sized(maps: Maps, channels: int) -> Maps:
    return Maps(channels, maps.height, maps.width)


def _layer(path: Path, name: str, live: int) -> Layer:
    """Return a layer that hands on its own output and the skips that are live."""
    handed_on = path.maps.elements + live
    return replace(path.layer(name), output_elements=handed_on, passed_by=live)


def _cell(name: str, maps: Maps, widths: list[int], live: int) -> Iterator[Layer]:
    """Return the modules of stacked convolutions; equal ones are one object."""
    built: dict[tuple[Maps, int], tuple[Layer, ...]] = {}
    rows: list[tuple[Layer, ...]] = []
    for width in widths:
        key = (maps, width)
        if key not in built:
            built[key] = tuple(_modules(name, maps, width, live))
        rows.append(built[key])
        maps = _sized(maps, width)
    return chain.from_iterable(rows)


def _modules(name: str, maps: Maps, width: int, live: int) -> Iterator[Layer]:
    """Yield convolution, dropout of whole maps, normalisation and leaky ReLU.

    The dropout keeps one factor a map, which two small kernels draw and scale. The
    normalisation, over each map of a sample, is cuDNN's batch normalisation without
    gain and bias. The ReLU is not in place: it keeps its input.
    """
    path = Path(maps).conv(
        "conv", width, _KERNEL, padding=1, needs_input_gradient=maps != IMAGE
    )
    yield _layer(path, f"{name} conv", live)
    outputs = path.maps
    elements = outputs.elements
    moved = 4.0 * elements
    dropout = Elementwise(
        "dropout",
        moved,
        moved,
        2.0 * width,
        launches=(3, 1),
        function=Dropout(of_maps=True),
    )
    yield _layer(Path(outputs, (dropout,)), f"{name} dropout", live)
    yield _layer(Path(outputs, (_instance_norm(outputs),)), f"{name} norm", live)
    relu = Elementwise(
        "relu",
        4.0 * elements,
        6.0 * elements,
        2.0 * elements,
        function=Activation("leaky relu"),
    )
    yield _layer(Path(outputs, (relu,)), f"{name} relu", live)


def _instance_norm(maps: Maps) -> Elementwise:
    function = Normalisation("instance", maps.channels)
    return replace(batch_norm("norm", maps), parameters=0, function=function)


def _stored(maps: Maps, live: int) -> Iterator[Layer]:
    """Yield the storing of a skip, and the pooling behind it.

    Storing moves nothing, but the gradients that come back from the decoder and from
    the pooling are added: reads two, writes one.
    """
    added = 6.0 * maps.elements
    join = Elementwise("skip", 0.0, added, launches=(0, 1), function=Identity())
    yield replace(_layer(Path(maps, (join,)), "skip", live), leaves=(INPUT,))
    yield _layer(Path(maps).max_pool("down", 2, stride=2), "down", live)


def _restored(maps: Maps, joined: Maps, live: int, skip: Maps) -> Iterator[Layer]:
    """Yield the doubling of height and width, and the concatenation with the skip.

    Doubling reads its input and writes four times as much; the way back adds four
    gradients. Concatenation reads both and writes them side by side; its gradients are
    views.
    """
    larger = _sized(joined, maps.channels)
    moved = 2.0 * (maps.elements + larger.elements)
    up = Path(larger, (Elementwise("up", moved, moved, function=Doubling()),))
    yield _layer(up, "up", live + skip.elements)
    copied = Elementwise(
        "concatenation",
        4.0 * joined.elements,
        0.0,
        launches=(1, 0),
        function=Concatenation(),
    )
    path = Path(joined).then(copied, reads=(INPUT, carried(1)))
    yield replace(_layer(path, "concatenation", live), takes=1)


def _segment(maps: Maps) -> Layer:
    """Return the last 1x1 convolution with a binary cross-entropy a pixel.

    The loss reads logits and targets of four bytes, backward reads them again and
    writes a gradient; it keeps the logits.
    """
    path = Path(maps).conv("segment", 1, 1)
    pixels = path.maps.elements
    loss = Elementwise(
        "binary cross entropy",
        forward_bytes=8.0 * pixels,
        backward_bytes=12.0 * pixels,
        kept_bytes=4.0 * pixels,
        scales=False,
        function=Loss("binary cross entropy"),
    )
    return path.then(loss).layer("segment")
