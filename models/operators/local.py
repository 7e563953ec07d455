"""Locally connected products: every place of the output has filters of its own.

Weights are not shared, so a sample costs as many multiply-adds as there are weights,
and every place is a small product of its own over the samples.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.operators.operator import Split
from models.operators.windows import Window
from models.work import Share, Work


@dataclass(frozen=True, slots=True)
class LocallyConnected:
    """Linear filters over windows of the input, different at every place.

    The kernel is a batch of products, one a place: samples x (channels_in · window)
    @ channels_out. It fetches its input once; windows that overlap read from the cache.

    To divide it by neurons, divide the places of `output`: weights, FLOP and outputs
    divide with them, and a patch of the output reads `window.reads` places of the input
    along each dimension, in all `channels_in`.

    Fields:
        channels_in, channels_out: maps of the input; neurons a place [1].
        window: side of the square that a place reads, and its stride [1].
        output: height and width of the output [1].
        inputs: elements of the input, a sample [1].
        needs_input_gradient: False where the input is the sample itself [bool].
    """

    name: str
    channels_in: int
    channels_out: int
    window: Window
    output: tuple[int, int]
    inputs: int
    needs_input_gradient: bool = True

    split = Split.NONE
    is_core_attention = False

    @property
    def places(self) -> int:
        """Windows, each with weights of its own [1]."""
        return self.output[0] * self.output[1]

    @property
    def parameters(self) -> int:
        """Weights; there is no bias [1]."""
        return self.places * self.channels_out * self._inner

    @property
    def _inner(self) -> int:
        return self.channels_in * self.window.size**2

    def _work(self, name: str, share: Share, dims: tuple[float, float, float]) -> Work:
        rows, columns, inner = dims
        outputs = self.places * self.channels_out
        elements = share.samples * (self.inputs + outputs) + self.parameters
        flop = 2.0 * self.places * rows * columns * inner
        size = share.element * elements
        return Work(name, "matrix", flop, size, rows, columns, inner, self.places)

    def forward(self, share: Share) -> tuple[Work, ...]:
        """Return a product a place: samples x window @ neurons."""
        dims = (share.samples, self.channels_out, self._inner)
        return (self._work(f"{self.name} F", share, dims),)

    def backward_input(self, share: Share) -> tuple[Work, ...]:
        """Return the gradient of the inputs; as many FLOP as the forward."""
        if not self.needs_input_gradient:
            return ()
        dims = (share.samples, self._inner, self.channels_out)
        return (self._work(f"{self.name} I", share, dims),)

    def backward_weight(self, share: Share) -> tuple[Work, ...]:
        """Return the gradient of the weights; as many FLOP as the forward."""
        dims = (self._inner, self.channels_out, share.samples)
        return (self._work(f"{self.name} W", share, dims),)

    def saved_bytes(self, share: Share) -> float:
        """Return the input's bytes [B]."""
        return share.element * share.samples * self.inputs
