"""Which part of a grid an operator reads to write a part of another one.

A locally connected layer divides by neurons: a device holds a patch of the output and
the weights of its places. What `Window.reads` says beyond the device's own patch of the
input is what its neighbours must send.
"""

from __future__ import annotations

from typing import NamedTuple


class Window(NamedTuple):
    """What one place of the output reads, along one dimension of a grid.

    Fields:
        size: places of the input that one place of the output reads [1].
        stride: places of the input between two neighbours of the output [1].
    """

    size: int
    stride: int = 1

    def reads(self, places: float) -> float:
        """Return how many places of the input so many neighbours of the output read.

        (places - 1) stride + size

        Args:
            places: of the output, side by side [1].
        """
        return (places - 1) * self.stride + self.size
