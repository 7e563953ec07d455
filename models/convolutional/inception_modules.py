"""Inception modules: branches side by side, each a row of convolutions.

The functions and tables that name a module are those of Inception-v3.

Source: Szegedy et al., arXiv:1512.00567; dimensions from pytorch/vision inception.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from models.convolutional.blocks import Maps, concatenation, pair
from models.convolutional.path import Pair, Path
from models.wiring import INPUT


class Conv(NamedTuple):
    """One convolution, and the batch normalisation and ReLU behind it.

    Without a `padding`, stride 1 keeps height and width and stride 2 has none.
    """

    channels: int
    kernel: Pair = 1
    stride: int = 1
    padding: Pair | None = None


# A branch is a chain of convolutions, perhaps behind a pooling that keeps the size
# (`AVERAGE`, `MAXIMUM_SAME`) or a pooling alone that halves it (`MAXIMUM`), perhaps
# ending in two filters side by side (`FORK`).
Branch = tuple[Conv | str, ...]
FORK = "1x3 and 3x1"
AVERAGE = "average"
MAXIMUM = "maximum"
MAXIMUM_SAME = "maximum of the same size"


def module_a(pooled: int) -> tuple[Branch, ...]:
    """Return the 35x35 module whose pooled branch has `pooled` channels."""
    return (
        (Conv(64),),
        (Conv(48), Conv(64, 5)),
        (Conv(64), Conv(96, 3), Conv(96, 3)),
        (AVERAGE, Conv(pooled)),
    )


def module_c(width: int) -> tuple[Branch, ...]:
    """Return the 17x17 module of factorised 7x7 filters, `width` channels inside."""
    wide, tall = (1, 7), (7, 1)
    return (
        (Conv(192),),
        (Conv(width), Conv(width, wide), Conv(192, tall)),
        (
            Conv(width),
            Conv(width, tall),
            Conv(width, wide),
            Conv(width, tall),
            Conv(192, wide),
        ),
        (AVERAGE, Conv(192)),
    )


MODULE_B: tuple[Branch, ...] = (
    (Conv(384, 3, 2),),
    (Conv(64), Conv(96, 3), Conv(96, 3, 2)),
    (MAXIMUM,),
)
MODULE_D: tuple[Branch, ...] = (
    (Conv(192), Conv(320, 3, 2)),
    (Conv(192), Conv(192, (1, 7)), Conv(192, (7, 1)), Conv(192, 3, 2)),
    (MAXIMUM,),
)
MODULE_E: tuple[Branch, ...] = (
    (Conv(320),),
    (Conv(384), FORK),
    (Conv(448), Conv(384, 3), FORK),
    (AVERAGE, Conv(192)),
)


def module(maps: Maps, branches: tuple[Branch, ...]) -> Path:
    """Return the branches over `maps` and their concatenation.

    All branches read the same input; the first operator of the first one keeps it.
    """
    joined_path = Path(maps)
    outputs: list[Maps] = []
    ends: list[str] = []
    kept = 0
    for number, branch in enumerate(branches, start=1):
        path = _branch(Path(maps), f"branch {number}", branch, is_first=number == 1)
        joined_path = joined_path.beside(path, INPUT)
        outputs.append(path.maps)
        ends.append(path.end)
        if branch[-1] not in {FORK, MAXIMUM}:
            kept += path.maps.elements
    joined = _side_by_side(outputs)
    join = concatenation(
        "concatenation", joined, kept=kept, fork=maps, num_readers=len(branches)
    )
    return joined_path.then(join, joined, tuple(ends))


def _branch(path: Path, name: str, branch: Branch, *, is_first: bool) -> Path:
    keeps_input = is_first
    for number, step in enumerate(branch, start=1):
        own = f"{name} conv{number}"
        if step == AVERAGE:
            path = path.average_pool(f"{name} average", 3, padding=1)
        elif step == MAXIMUM:
            path = path.max_pool(f"{name} maximum", 3, stride=2, keeps_input=False)
        elif step == MAXIMUM_SAME:
            path = path.max_pool(
                f"{name} maximum", 3, stride=1, padding=1, keeps_input=False
            )
        elif step == FORK:
            path = _fork(path, own)
        elif isinstance(step, Conv):
            path = conv_norm_relu(path, own, step, keeps_input=keeps_input)
        keeps_input = True
    return path


def _fork(path: Path, name: str) -> Path:
    """Return two filters over the same maps, side by side, as module E ends."""
    channels = path.maps.channels
    start = path.fresh()
    wide = conv_norm_relu(start, f"{name} 1x3", Conv(channels, (1, 3)))
    tall = conv_norm_relu(
        start, f"{name} 3x1", Conv(channels, (3, 1)), keeps_input=False
    )
    outputs = _side_by_side([wide.maps, tall.maps])
    join = concatenation(
        f"{name} concatenation",
        outputs,
        kept=outputs.elements,
        fork=path.maps,
        num_readers=2,
    )
    start_name = path.end
    path = path.beside(wide, start_name).beside(tall, start_name)
    return path.then(join, outputs, (wide.end, tall.end))


def conv_norm_relu(
    path: Path,
    name: str,
    conv: Conv,
    *,
    keeps_input: bool = True,
    needs_input_gradient: bool = True,
) -> Path:
    """Return `path` with a convolution, batch normalisation and ReLU."""
    padding = conv.padding
    if padding is None:
        height, width = pair(conv.kernel)
        padding = (height // 2, width // 2) if conv.stride == 1 else 0
    path = path.conv(
        name,
        conv.channels,
        conv.kernel,
        stride=conv.stride,
        padding=padding,
        keeps_input=keeps_input,
        needs_input_gradient=needs_input_gradient,
    )
    return path.norm(f"{name} norm").relu(f"{name} relu")


def _side_by_side(outputs: list[Maps]) -> Maps:
    return replace(outputs[0], channels=sum(maps.channels for maps in outputs))
