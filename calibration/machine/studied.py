"""The networks and batches whose steps are predicted; the profile measured others."""

from __future__ import annotations

from typing import Any

from calibration.machine.shapes import Case


def _transformer(family: str, *sizes: int, **more: int) -> Any:
    names = ("layers", "hidden", "heads", "sequence_length", "vocabulary")
    return {"family": family, **dict(zip(names, sizes, strict=True)), **more}


def _lstm(layers: int, hidden: int, tokens: int, words: int) -> Any:
    shape = {"layers": layers, "hidden": hidden, "sequence_length": tokens}
    return {"family": "lstm", **shape, "vocabulary": words}


TOY: tuple[Case, ...] = (
    ({"family": "mlp", "widths": [24, 48, 10]}, (8,)),
    (_transformer("gpt", 1, 16, 2, 8, 40), (4,)),
)
CPU: tuple[Case, ...] = (
    ({"family": "mlp", "widths": [784, 512, 10]}, (16, 64, 256, 1024)),
    ({"family": "mlp", "widths": [784, 1024, 1024, 1024, 10]}, (16, 128, 512)),
    (_transformer("gpt", 2, 128, 4, 64, 1000), (1, 2, 8, 32)),
    (_transformer("gpt", 4, 256, 4, 128, 2000), (2, 8)),
    (
        _transformer("llama", 2, 128, 4, 64, 1000, kv_heads=2, feed_forward=352),
        (2, 8, 32),
    ),
    (_transformer("llama", 3, 256, 4, 128, 2000, kv_heads=2, feed_forward=704), (2, 8)),
    (_lstm(1, 128, 25, 1000), (4, 16)),
    (_lstm(2, 256, 35, 2000), (4, 16)),
    ({"name": "resnet18", "image": 64}, (2, 8)),
    ({"name": "resnet50", "image": 64}, (2, 6)),
    ({"name": "alexnet", "image": 128}, (2, 8, 16)),
)
GPU: tuple[Case, ...] = (
    ({"family": "mlp", "widths": [4096, 8192, 8192, 1000]}, (128, 2048)),
    (_transformer("gpt", 12, 1024, 16, 512, 32_000), (2, 8, 16)),
    (_transformer("gpt", 6, 2048, 16, 1024, 50_304), (1, 4, 8)),
    (
        _transformer("llama", 12, 1024, 16, 512, 32_000, kv_heads=4, feed_forward=2816),
        (2, 8, 16),
    ),
    (
        _transformer("llama", 6, 2048, 16, 1024, 32_000, kv_heads=4, feed_forward=5632),
        (1, 4, 8),
    ),
    (_transformer("bert", 12, 1024, 16, 512, 30_522), (4, 16)),
    (_lstm(2, 1024, 35, 10_000), (16, 128)),
    ({"name": "resnet18", "image": 224}, (16, 64, 256)),
    ({"name": "resnet50", "image": 224}, (16, 64, 256)),
    ({"name": "alexnet", "image": 224}, (32, 256, 1024)),
)
STUDIES = {"toy": TOY, "cpu": CPU, "gpu": GPU}
