"""What convolutional networks have beside convolutions, priced by the bytes they move.

Bytes are a sample's, at two bytes an element, for the kernels of PyTorch with cuDNN.
A tensor that backward needs is counted once, by the operator that reads it, so that
a ReLU in place (whose output is what it needs) keeps nothing of its own.
Where several operators read the same tensor, one of them keeps it (`keeps_input`).

Limits: running statistics, a few numbers a channel, are free.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from models.functions import (
    Activation,
    Addition,
    Concatenation,
    Dropout,
    Normalisation,
    Pool,
)
from models.operators import Elementwise

_INDEX_BYTES = 8  # PyTorch keeps the winners of a max pooling as 64-bit integers.


def pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return height and width of a window, given as one number if it is square."""
    return (size, size) if isinstance(size, int) else size


def thinned(channels: int, thinning: int) -> int:
    """Return channels divided by `thinning`, one at least [1]."""
    return max(1, channels // thinning)


@dataclass(frozen=True, slots=True)
class Maps:
    """Dimensions of the feature maps of one sample [1]."""

    channels: int
    height: int
    width: int

    @property
    def elements(self) -> int:
        """Numbers a sample [1]."""
        return self.channels * self.height * self.width

    def slide(
        self,
        kernel: int | tuple[int, int],
        stride: int | tuple[int, int],
        padding: int | tuple[int, int],
        channels: int | None = None,
        *,
        is_ceiled: bool = False,
    ) -> Maps:
        """Return the maps after a window slid over them.

        output = (input + 2 padding - kernel) // stride + 1

        `is_ceiled` rounds up instead: the last window may stand over the edge.
        """
        height, width = (
            (size + 2 * pad - window + (step - 1) * is_ceiled) // step + 1
            for size, pad, window, step in zip(
                (self.height, self.width),
                pair(padding),
                pair(kernel),
                pair(stride),
                strict=True,
            )
        )
        if min(height, width) < 1:
            raise ValueError(
                f"image: a window of {kernel} does not fit maps of"
                f" {self.height} x {self.width}; give larger images"
            )
        return replace(
            self, channels=channels or self.channels, height=height, width=width
        )


def batch_norm(name: str, maps: Maps) -> Elementwise:
    """Return a batch normalisation in training, cuDNN's one kernel a direction.

    Forward reads its input twice (statistics, then normalise) and writes once.
    Backward reads input and gradient twice (sums, then apply) and writes once.
    Keeps its input. Gain and bias are one number each a channel.
    """
    elements = maps.elements
    return Elementwise(
        name,
        forward_bytes=6.0 * elements,
        backward_bytes=10.0 * elements,
        kept_bytes=2.0 * elements,
        parameters=2 * maps.channels,
        function=Normalisation("batch", maps.channels),
    )


def relu(name: str, maps: Maps) -> Elementwise:
    """Return a ReLU in place: reads and writes once.

    Backward reads output and gradient and writes one.
    """
    elements = maps.elements
    return Elementwise(
        name,
        forward_bytes=4.0 * elements,
        backward_bytes=6.0 * elements,
        function=Activation("relu"),
    )


def max_pool(
    name: str, inputs: Maps, outputs: Maps, function: Pool, *, keeps_input: bool
) -> Elementwise:
    """Return a max pooling: reads its input, writes its output and indices.

    Backward reads gradient and indices and writes a gradient of the input's size.
    Windows that overlap read from the cache.
    """
    moved = 2.0 * (inputs.elements + outputs.elements)
    return Elementwise(
        name,
        forward_bytes=moved,
        backward_bytes=moved,
        kept_bytes=2.0 * inputs.elements if keeps_input else 0.0,
        mask_bytes=float(_INDEX_BYTES * outputs.elements),
        function=function,
    )


def average_pool(
    name: str, inputs: Maps, outputs: Maps, function: Pool, *, keeps_input: bool
) -> Elementwise:
    """Return a mean over windows: reads its input and writes its output.

    Backward reads the gradient and writes one of the input's size, from no tensor of
    its own; `keeps_input` is for the ReLU before it.
    """
    moved = 2.0 * (inputs.elements + outputs.elements)
    return Elementwise(
        name,
        forward_bytes=moved,
        backward_bytes=moved,
        kept_bytes=2.0 * inputs.elements if keeps_input else 0.0,
        function=function,
    )


def auxiliary_join(maps: Maps) -> Elementwise:
    """Return where the gradient of an auxiliary classifier meets that of what follows.

    It reads two and writes one; on the way forward nothing is done.
    """
    return Elementwise(
        "auxiliary join",
        forward_bytes=0.0,
        backward_bytes=6.0 * maps.elements,
        launches=(0, 1),
    )


def dropout(name: str, maps: Maps, *, keeps_input: bool) -> Elementwise:
    """Return a dropout: reads and writes once, and a mask of one byte an element.

    Keeps the mask; `keeps_input` is for the ReLU before it.
    """
    elements = maps.elements
    return Elementwise(
        name,
        forward_bytes=4.0 * elements,
        backward_bytes=4.0 * elements,
        kept_bytes=2.0 * elements if keeps_input else 0.0,
        mask_bytes=1.0 * elements,
        function=Dropout(),
    )


def residual(name: str, maps: Maps) -> Elementwise:
    """Return the addition of a shortcut, in place: reads two, writes one.

    Backward hands the gradient to both branches for nothing, and adds what comes back
    from them: reads two, writes one.
    """
    moved = 6.0 * maps.elements
    return Elementwise(
        name, forward_bytes=moved, backward_bytes=moved, function=Addition()
    )


def concatenation(
    name: str, outputs: Maps, *, kept: int, fork: Maps, num_readers: int
) -> Elementwise:
    """Return the concatenation of branches, and the fork that they began at.

    Forward reads all branches and writes them side by side. Backward takes views, but
    where n operators read the fork, n - 1 additions join their gradients, each reading
    two and writing one.

    Args:
        name: of the operator.
        outputs: all branches side by side.
        kept: elements of the branches that end in a ReLU, which needs them [1].
        fork: what the branches read.
        num_readers: n, operators that read it [1].
    """
    additions = num_readers - 1
    return Elementwise(
        name,
        forward_bytes=4.0 * outputs.elements,
        backward_bytes=6.0 * additions * fork.elements,
        kept_bytes=2.0 * kept,
        launches=(1, additions),
        function=Concatenation(),
    )
