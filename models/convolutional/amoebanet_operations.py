"""What the cells of AmoebaNet-D are made of: paths from one state to another.

A ReLU stands before its convolution and is not in place: the convolution keeps it.

Source: kakaobrain/torchgpipe benchmarks/models/amoebanet/operations.py.
"""

from __future__ import annotations

from dataclasses import replace

from models.convolutional.blocks import Maps
from models.convolutional.path import Path
from models.functions import Concatenation, Shift
from models.operators import Elementwise

IDENTITY = "identity"
MEAN_POOL = "mean 3x3"
MAX_POOL = "maximum 2x2"
CONV_1X1 = "1x1"
CONV_3X3 = "3x3"
CONV_1X7_7X1 = "1x7 and 7x1"
# Filters inside the operations that narrow to a quarter of the channels and widen back.
_INSIDE: dict[str, tuple[tuple[int, int], ...]] = {
    CONV_3X3: ((3, 3),),
    CONV_1X7_7X1: ((1, 7), (7, 1)),
}


POOLS = (MEAN_POOL, MAX_POOL)


def operation(
    name: str, maps: Maps, kind: str, stride: int, *, keeps_input: bool
) -> Path:
    """Return the operation `kind` on `maps`, which keeps their number of channels.

    Args:
        name: of its operators.
        maps: the state read.
        kind: one of the names above.
        stride: 1, or 2 to halve height and width [1].
        keeps_input: whether a pooling keeps the state. PyTorch keeps it for a mean
            too, though only its size is needed.
    """
    path = Path(maps)
    if kind == IDENTITY:
        assert stride == 1
        return path
    if kind == MEAN_POOL:
        return path.average_pool(
            name, 3, stride=stride, padding=1, keeps_input=keeps_input
        )
    if kind == MAX_POOL:
        return path.max_pool(name, 2, stride=stride, keeps_input=keeps_input)
    if kind == CONV_1X1:
        return relu_conv_norm(path, name, maps.channels, stride=stride)
    narrow = maps.channels // 4
    path = relu_conv_norm(path, f"{name} narrow", narrow)
    for kernel in _INSIDE[kind]:
        path = relu_conv_norm(path, name, narrow, kernel, stride=stride)
    return relu_conv_norm(path, f"{name} wide", maps.channels)


def relu_conv_norm(
    path: Path,
    name: str,
    channels: int,
    kernel: tuple[int, int] = (1, 1),
    *,
    stride: int = 1,
) -> Path:
    """Return `path` with a ReLU, a convolution and a batch normalisation."""
    padding = (kernel[0] // 2, kernel[1] // 2)
    path = path.relu(f"{name} relu")
    path = path.conv(name, channels, kernel, stride=stride, padding=padding)
    return path.norm(f"{name} norm")


def factorized_reduce(path: Path, name: str, channels: int) -> Path:
    """Return `path` halved in height and width by two 1x1 filters of stride 2.

    One reads the even pixels, the other a copy that is shifted by one and padded.
    """
    path = path.relu(f"{name} relu")
    maps = path.maps
    even = Path(maps).conv(f"{name} even", channels // 2, 1, stride=2)
    odd = Path(maps, (_shift(name, maps),))
    odd = odd.conv(f"{name} odd", channels // 2, 1, stride=2)
    outputs = replace(even.maps, channels=channels)
    # Forward copies both side by side; backward takes views.
    join = Elementwise(
        f"{name} concatenation",
        4.0 * outputs.elements,
        0.0,
        launches=(1, 0),
        function=Concatenation(),
    )
    start = path.end
    path = path.beside(even, start).beside(odd, start)
    path = path.then(join, outputs, (even.end, odd.end))
    return path.norm(f"{name} norm")


def _shift(name: str, maps: Maps) -> Elementwise:
    """Return a shift by one pixel with padding: reads and writes once.

    Backward copies the gradient without its padding (4 bytes an element), writes it
    into zeros once a dimension (6 each), and adds it to that of the even pixels (6).
    """
    elements = maps.elements
    return Elementwise(
        f"{name} shift",
        4.0 * elements,
        22.0 * elements,
        launches=(1, 6),
        function=Shift(),
    )
