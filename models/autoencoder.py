"""Locally connected networks of filters, L2 pooling and local contrast normalisation.

The nine-layer network of Le et al. is three stacks of the three; Coates et al. grew it
from 185 million to 11.2 billion weights with the number of GPUs, and timed the gradient
of the whole network, a forward and a backward pass. Every sublayer is a layer here.

Limits: what is counted is that pass through the encoder: no decoder's weights, no loss
but the gradient that is given at the top.

Source: Le et al., arXiv:1112.6209, section 3 and figure 1 (18 x 18 receptive fields, 8
    maps, pooling 5 x 5; from memory and from notes on it; it counts "1 billion
    connections", here 1.22); Coates et al., Deep learning with COTS HPC systems, ICML
    2013 (sizes and numbers of GPUs; from memory). Strides are ours. So is the geometry
    of Coates' networks: fields of 20 x 20 with stride 4, then 10 x 10, pooling 3 x 3,
    with the number of maps that comes nearest to each published count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from models.convolutional.blocks import Maps
from models.convolutional.path import Path
from models.functions import Contrast, Pool
from models.model import Layer, Model
from models.operators import Elementwise, LocallyConnected, Sliding, Split, Window

IMAGE = Maps(3, 200, 200)
_CONTRAST = 5  # side of the neighbourhood that normalises a place


class Stack(NamedTuple):
    """Filters, pooling and normalisation.

    Fields:
        maps: filters at every place [1].
        field: what a place reads of the maps below.
        pool: what a pooled place reads of the filters' output.
    """

    maps: int
    field: Window
    pool: Window


class Scaled(NamedTuple):
    """A network of Coates et al.

    Fields:
        weights: as published [1].
        num_devices: GPUs that trained it [1].
        maps: of every stack that come nearest [1].
    """

    weights: float
    num_devices: int
    maps: int


COATES: dict[str, Scaled] = {
    "coates-185m": Scaled(185e6, 1, 26),
    "coates-680m": Scaled(680e6, 4, 55),
    "coates-1.9b": Scaled(1.9e9, 9, 96),
    "coates-3b": Scaled(3.0e9, 16, 122),
    "coates-6.9b": Scaled(6.9e9, 36, 189),
    "coates-11.2b": Scaled(11.2e9, 64, 242),
}


def coates2013(name: str) -> Model:
    """Return the network `name` of `COATES`."""
    maps = COATES[name].maps
    first = Stack(maps, Window(20, 4), Window(3))
    other = Stack(maps, Window(10), Window(3))
    return locally_connected(name, IMAGE, (first, other, other))


def le2012() -> Model:
    """Return the network of Le et al.: three equal stacks of eight maps."""
    stack = Stack(8, Window(18), Window(5))
    return locally_connected("le2012", IMAGE, (stack, stack, stack))


def locally_connected(name: str, image: Maps, stacks: Sequence[Stack]) -> Model:
    """Return stacks of filters, L2 pooling and contrast normalisation.

    Args:
        name: of the model.
        image: the sample.
        stacks: in forward order.
    """
    layers: list[Layer] = []
    maps = image
    for number, stack in enumerate(stacks, start=1):
        filtered = _filters(maps, stack, needs_input_gradient=number > 1)
        pooled = _l2_pool(filtered.maps, stack.pool)
        is_last = number == len(stacks)
        normalised = _contrast(pooled.maps, keeps_output=is_last)
        layers += [
            filtered.layer(f"filters {number}"),
            pooled.layer(f"pool {number}"),
            normalised.layer(f"contrast {number}"),
        ]
        maps = pooled.maps
    return Model(name, tuple(layers), 1, family="locally connected")


def _filters(maps: Maps, stack: Stack, *, needs_input_gradient: bool) -> Path:
    outputs = maps.slide(stack.field.size, stack.field.stride, 0, stack.maps)
    operator = LocallyConnected(
        "filters",
        maps.channels,
        stack.maps,
        stack.field,
        output=(outputs.height, outputs.width),
        inputs=maps.elements,
        needs_input_gradient=needs_input_gradient,
    )
    return Path(maps).then(operator, outputs)


def _l2_pool(maps: Maps, window: Window) -> Path:
    """Return square roots of sums of squares over windows of each map.

    Forward reads its input and writes its output. Backward reads both and the gradient
    and writes one of the input's size; both are kept.
    """
    outputs = maps.slide(window.size, window.stride, 0)
    sliding = _sliding(window, maps, outputs)
    moved = 2.0 * (maps.elements + outputs.elements)
    operator = Elementwise(
        "l2 pool",
        moved,
        2.0 * moved,
        kept_bytes=moved,
        function=Pool("l2", window.size, window.stride),
        split=Split.PLACES,
        sliding=sliding,
    )
    return Path(maps).then(operator, outputs)


def _contrast(maps: Maps, *, keeps_output: bool) -> Path:
    """Return subtraction of a local mean and division by a local deviation.

    Both are one number a place, over all maps and a neighbourhood, found by a pass over
    the maps and applied by another: forward reads the input twice, writes and reads the
    difference twice, and writes the output. Backward sums output times gradient over
    the neighbourhood, applies it, and does both again for the mean. The deviations are
    kept, and the output, by what reads it next if anything does.

    Sums over maps need no neighbour. Of those a place reads two numbers of each place
    around it: the mean's, and, when that is applied there, the deviation's.
    """
    elements, places = maps.elements, maps.height * maps.width
    kept = 2.0 * (places + (elements if keeps_output else 0))
    operator = Elementwise(
        "contrast",
        forward_bytes=2.0 * (6 * elements + 4 * places),
        backward_bytes=2.0 * (8 * elements + 5 * places),
        kept_bytes=kept,
        launches=(4, 4),
        function=Contrast(_CONTRAST),
        split=Split.PLACES,
        sliding=_sliding(Window(_CONTRAST), replace(maps, channels=2), maps),
    )
    return Path(maps).then(operator)


def _sliding(window: Window, inputs: Maps, outputs: Maps) -> Sliding:
    sides = ((maps.height, maps.width) for maps in (inputs, outputs))
    return Sliding(window, inputs.channels, *sides)
