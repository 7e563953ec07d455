"""Locally connected products: every place of the output has filters of its own.

Weights are not shared, so a sample costs as many multiply-adds as there are weights,
and every place is a small product of its own over the samples.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.operators.operator import Split
from models.operators.windows import Sliding, Window
from models.work import Share, Work


@dataclass(frozen=True, slots=True)
class LocallyConnected:
    """Linear filters over windows of the input, different at every place.

    The kernel is a product a place: samples x (channels_in · window) @ channels_out. It
    is written for the layer, so that no tile is larger than the product, and fetches
    its input once; windows that overlap read from the cache.

    Tensor ranks divide the places of `output`, and with them weights, FLOP and outputs;
    `share` asks for the work of the rank with the largest patch.

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

    split = Split.PLACES
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

    @property
    def sliding(self) -> Sliding:
        """How the windows lie in the input."""
        height, width = (int(self.window.reads(places)) for places in self.output)
        return Sliding(self.window, self.channels_in, (height, width), self.output)

    def held(self, ranks: float) -> float:
        """Return the weights of the rank with the largest patch [1]."""
        return self.parameters * self.sliding.share(ranks)

    def _read(self, share: Share) -> float:
        """Return the elements of a sample that the largest patch reads [1]."""
        return (
            self.inputs
            if share.tensor == 1
            else self.sliding.read_elements(share.tensor)
        )

    def _work(self, name: str, share: Share, dims: tuple[float, float, float]) -> Work:
        rows, columns, inner = dims
        places = self.places * self.sliding.share(share.tensor)
        outputs = places * self.channels_out
        elements = share.samples * (self._read(share) + outputs)
        size = share.element * (elements + self.held(share.tensor))
        flop = 2.0 * places * rows * columns * inner
        return Work(name, "local", flop, size, rows, columns, inner, places)

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
        """Return the bytes of what the patch reads of the input [B]."""
        return share.element * share.samples * self._read(share)
