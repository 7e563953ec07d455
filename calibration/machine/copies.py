"""Copies to, from and on a GPU, and products of eight-bit numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from calibration.machine.clock import Clock
from topologies.units import format_quantity, parse_quantity

_SIZES = ("4 KiB", "1 MiB", "256 MiB")
_TOY = ("4 KiB",)
_SIDES = (1024, 4096, 8192)


def copies(device: str) -> Iterator[dict[str, Any]]:
    """Yield what copies take: host to device, back, and on the device.

    On a CPU there is but one memory, so that only the last kind is left.
    """
    clock = Clock(device)
    for text in _SIZES if device == "cuda" else _TOY:
        size = int(parse_quantity(text, "B"))
        for kind, (source, target) in _pairs(device, size).items():
            (timing,) = clock.time([_copy(source, target)])
            yield {
                "kind": kind,
                "size": text,
                "time": format_quantity(timing.time, "s", 4),
                "rate": format_quantity(size / timing.time, "B/s", 4),
            }


def _copy(source: Tensor, target: Tensor) -> Callable[[], object]:
    def call() -> object:
        return target.copy_(source, non_blocking=True)

    return call


def _pairs(device: str, size: int) -> dict[str, tuple[Tensor, Tensor]]:
    there, other = (torch.zeros(size, dtype=torch.int8, device=device) for _ in "ab")
    if device == "cpu":
        return {"on the device": (there, other)}
    here = torch.zeros(size, dtype=torch.int8, pin_memory=True)
    plain = torch.zeros(size, dtype=torch.int8)
    return {
        "host to device, pinned": (here, there),
        "device to host, pinned": (there, here),
        "host to device, pageable": (plain, there),
        "on the device": (there, other),
    }


def narrow_products(device: str) -> Iterator[dict[str, Any]]:
    """Yield what products of fp8 numbers take, where the GPU has them."""
    if device != "cuda" or torch.cuda.get_device_capability() < (8, 9):
        return
    clock, one = Clock(device), torch.ones((), device=device)
    for side in _SIDES:
        left = torch.randn(side, side, device=device).to(torch.float8_e4m3fn)
        right = torch.randn(side, side, device=device).to(torch.float8_e4m3fn).t()

        def call(left: Tensor = left, right: Tensor = right) -> object:
            return torch._scaled_mm(  # noqa: SLF001 - torch has no other product of fp8
                left, right, scale_a=one, scale_b=one, out_dtype=torch.bfloat16
            )

        (timing,) = clock.time([call])
        yield {
            "kind": "fp8 product",
            "size": f"{side} x {side} x {side}",
            "time": format_quantity(timing.time, "s", 4),
            "rate": format_quantity(2 * side**3 / timing.time, "FLOP/s", 4),
        }
