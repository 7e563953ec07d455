"""Convolutions: one filter bank at every place of the input.

The work is stated as a matrix product, which is how most convolutions run, together
with the dimensions from which `simulator.convolutions` finds the faster algorithms.

Limits: the stride is not stated but follows from the sizes; it is taken to be the same
along both sides, and maps to keep their aspect.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from models.operators.operator import Split
from models.work import Direction, Filtering, Share, Work

_LETTER: dict[Direction, str] = {"forward": "F", "input": "I", "weight": "W"}


@dataclass(frozen=True, slots=True)
class Convolution:
    """A two-dimensional convolution, stated as a matrix product.

    Fields:
        channels_in, channels_out: feature maps [1].
        kernel: height and width of the filter [1].
        output: height and width of the output [1].
        inputs: elements of the input, a sample [1].
        groups: independent channel groups [1].
        bias: whether a bias is added (its kernel is fused) [bool].
        needs_input_gradient: False where the input is the sample itself [bool].
        keeps_input: False where another operator already keeps the same input for
            the backward pass, as the branches of a fork share theirs [bool].
        padding: rows and columns of zeros at every edge, along height and width [1].
    """

    name: str
    channels_in: int
    channels_out: int
    kernel: tuple[int, int]
    output: tuple[int, int]
    inputs: int
    groups: int = 1
    bias: bool = False
    needs_input_gradient: bool = True
    keeps_input: bool = True
    padding: tuple[int, int] = (0, 0)

    split = Split.NONE
    is_core_attention = False

    @property
    def parameters(self) -> int:
        """Weights and bias [1]."""
        height, width = self.kernel
        weights = self.channels_out * self.channels_in // self.groups * height * width
        return weights + (self.channels_out if self.bias else 0)

    @property
    def _outputs(self) -> int:
        return self.output[0] * self.output[1] * self.channels_out

    def _dims(self, share: Share) -> tuple[float, float, float]:
        pixels = self.output[0] * self.output[1] * share.samples
        inner = self.channels_in // self.groups * self.kernel[0] * self.kernel[1]
        return pixels, self.channels_out / self.groups, inner

    @property
    def stride(self) -> int:
        """Pixels between neighbouring places of the filter [1].

        The smallest that fits: (o - 1) s <= i + 2 p - k < o s.
        """
        height, width = self.output
        pixels = self.inputs / self.channels_in
        side = round(math.sqrt(pixels * height / width))
        places = side + 2 * self.padding[0] - self.kernel[0]
        for stride in range(1, side + 1):
            if (height - 1) * stride <= places < height * stride:
                return stride
        return max(1, round(side / height))

    def _work(
        self, share: Share, direction: Direction, dims: tuple[float, float, float]
    ) -> Work:
        rows, columns, inner = dims
        elements = share.samples * (self.inputs + self._outputs) + self.parameters
        return Work(
            f"{self.name} {_LETTER[direction]}",
            "matrix",
            2.0 * self.groups * rows * columns * inner,
            share.element * elements,
            rows,
            columns,
            inner,
            self.groups,
            filtering=Filtering(
                direction,
                share.samples,
                self.groups,
                self.channels_in // self.groups,
                self.channels_out // self.groups,
                self.kernel,
                self.stride,
                self.output,
                self.inputs,
                share.element,
            ),
            function=f"convolution {direction}",
        )

    def forward(self, share: Share) -> tuple[Work, ...]:
        """Return the outputs: pixels x (channels_in · filter) @ channels_out."""
        return (self._work(share, "forward", self._dims(share)),)

    def backward_input(self, share: Share) -> tuple[Work, ...]:
        """Return the gradient of the inputs; as many FLOP as the forward."""
        if not self.needs_input_gradient:
            return ()
        rows, columns, inner = self._dims(share)
        return (self._work(share, "input", (rows, inner, columns)),)

    def backward_weight(self, share: Share) -> tuple[Work, ...]:
        """Return the gradient of the filters; as many FLOP as the forward."""
        rows, columns, inner = self._dims(share)
        return (self._work(share, "weight", (inner, columns, rows)),)

    def saved_bytes(self, share: Share) -> float:
        """Return the input's bytes, unless another operator keeps it [B]."""
        kept = self.inputs if self.keeps_input else 0
        return share.element * share.samples * kept
