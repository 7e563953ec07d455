"""Which kernels are measured: products and convolutions on a grid, others in networks.

The networks are small ones of every family, of other sizes than any that a study
predicts: an operator is replayed with what it reads in one of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from models.operators import Convolution, Linear

Case = tuple[Mapping[str, Any], tuple[int, ...]]
"""A plan's `[model]`, and the samples of the batches."""


class Grid(NamedTuple):
    """Sizes to measure at.

    Fields:
        rows, widths: of products [1].
        images, channels, sides, samples: of convolutions [1].
        kernels: sides of filters, with their strides [1].
        networks: whose other operators are replayed.
    """

    rows: tuple[int, ...]
    widths: tuple[int, ...]
    channels: tuple[int, ...]
    sides: tuple[int, ...]
    samples: tuple[int, ...]
    kernels: tuple[tuple[int, int], ...]
    networks: tuple[Case, ...]


def _gpt(layers: int, hidden: int, heads: int, tokens: int, words: int) -> Any:
    names = ("layers", "hidden", "heads", "sequence_length", "vocabulary")
    values = (layers, hidden, heads, tokens, words)
    return dict(zip(names, values, strict=True))


def _llama(*sizes: int) -> Any:
    kv_heads = sizes[2] // 2
    own = {"kv_heads": kv_heads, "feed_forward": 3 * sizes[1]}
    return {"family": "llama", **_gpt(*sizes), **own}


def _lstm(hidden: int, tokens: int, words: int) -> Any:
    shape = {"layers": 1, "hidden": hidden, "sequence_length": tokens}
    return {"family": "lstm", **shape, "vocabulary": words}


TOY = Grid(
    rows=(4, 32),
    widths=(16, 64),
    channels=(4,),
    sides=(8,),
    samples=(2,),
    kernels=((3, 1),),
    networks=(
        ({"family": "mlp", "widths": [16, 32, 10]}, (4, 32)),
        ({"family": "gpt", **_gpt(1, 32, 2, 8, 50)}, (2, 8)),
    ),
)
QUICK = Grid(
    rows=(8, 64, 512),
    widths=(64, 256, 1024),
    channels=(16, 64),
    sides=(8, 28),
    samples=(4,),
    kernels=((3, 1), (1, 1)),
    networks=(
        ({"family": "mlp", "widths": [300, 700, 10]}, (4, 64, 512)),
        ({"family": "gpt", **_gpt(1, 96, 3, 48, 500)}, (1, 4, 16)),
        ({"family": "llama", **_llama(1, 96, 4, 48, 500)}, (1, 4, 16)),
        (_lstm(96, 20, 500), (4, 16)),
        ({"name": "resnet18", "image": 64}, (1, 4)),
    ),
)
STUDIED = Grid(  # for the plans that run on emulated hosts: large batches of few kinds
    rows=(32, 128, 512, 2048, 8192),
    widths=(128, 256, 512, 1024),
    channels=(64, 256),
    sides=(4, 8, 16),
    samples=(4, 32),
    kernels=((3, 1), (1, 1), (3, 2)),
    networks=(
        ({"family": "mlp", "widths": [300, 700, 700]}, (32, 512, 4096)),
        ({"family": "gpt", **_gpt(1, 144, 4, 64, 500)}, (2, 12, 48, 192)),
        ({"family": "gpt", **_gpt(1, 272, 8, 64, 500)}, (2, 12, 48)),
        ({"name": "resnet18", "image": 40}, (3, 12, 48)),
    ),
)
CPU = Grid(
    rows=(1, 8, 32, 128, 512, 2048),
    widths=(16, 64, 256, 1024),
    channels=(16, 64, 192),
    sides=(7, 14, 28),
    samples=(2, 12),
    kernels=((3, 1), (1, 1), (3, 2)),
    networks=(
        ({"family": "mlp", "widths": [300, 700, 10]}, (4, 32, 256, 2048)),
        ({"family": "gpt", **_gpt(1, 96, 3, 48, 500)}, (1, 3, 12, 48)),
        ({"family": "gpt", **_gpt(1, 320, 5, 96, 3000)}, (1, 6, 24)),
        ({"family": "llama", **_llama(1, 96, 4, 48, 500)}, (1, 3, 12, 48)),
        ({"family": "llama", **_llama(1, 320, 4, 96, 3000)}, (1, 6, 24)),
        (_lstm(96, 20, 500), (2, 8, 32)),
        (_lstm(320, 30, 3000), (2, 8, 32)),
        ({"name": "resnet18", "image": 48}, (1, 3, 12)),
        ({"name": "resnet50", "image": 80}, (1, 4)),
        ({"name": "alexnet", "image": 96}, (1, 6, 24)),
    ),
)
GPU = Grid(
    rows=(16, 128, 512, 2048, 8192),
    widths=(64, 256, 1024, 4096, 16384),
    channels=(64, 256, 512),
    sides=(7, 14, 28, 56),
    samples=(8, 64),
    kernels=((3, 1), (1, 1), (3, 2), (7, 2)),
    networks=(
        ({"family": "mlp", "widths": [3000, 7000, 1000]}, (32, 512, 8192)),
        ({"family": "gpt", **_gpt(1, 768, 12, 384, 20_000)}, (1, 6, 24)),
        ({"family": "gpt", **_gpt(1, 3072, 24, 768, 40_000)}, (1, 4)),
        ({"family": "llama", **_llama(1, 768, 12, 384, 20_000)}, (1, 6, 24)),
        ({"family": "llama", **_llama(1, 3072, 24, 768, 40_000)}, (1, 4)),
        ({"family": "bert", **_gpt(1, 768, 12, 384, 20_000)}, (2, 16)),
        (_lstm(768, 40, 10_000), (8, 64)),
        ({"name": "resnet18", "image": 192}, (4, 32, 128)),
        ({"name": "resnet50", "image": 192}, (4, 32, 128)),
        ({"name": "alexnet", "image": 192}, (8, 128, 512)),
    ),
)
GRIDS = {"toy": TOY, "quick": QUICK, "studied": STUDIED, "cpu": CPU, "gpu": GPU}


def products(grid: Grid) -> Iterator[tuple[Linear, int]]:
    """Yield weight matrices with the rows that they are applied to."""
    for rows, inner, columns in itertools.product(grid.rows, grid.widths, grid.widths):
        yield Linear("product", 1, inner, columns), rows


def convolutions(grid: Grid) -> Iterator[tuple[Convolution, int]]:
    """Yield filter banks with the samples that they are applied to."""
    found = itertools.product(grid.channels, grid.channels, grid.kernels, grid.sides)
    for inner, outer, (kernel, stride), side in found:
        if side % stride or max(inner, outer) > 4 * min(inner, outer):
            continue
        output = side // stride
        operator = Convolution(
            "filters",
            inner,
            outer,
            (kernel, kernel),
            (output, output),
            inner * side * side,
            padding=(kernel // 2, kernel // 2),
        )
        for samples in grid.samples:
            yield operator, samples
