"""What an operator without a product computes, beside the bytes that it moves.

A price needs only bytes; whoever executes a layer needs the function. One record a
function, with what its arguments do not say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_MOST_BLOCKS = 64


@dataclass(frozen=True, slots=True)
class Activation:
    """A function of every number by itself."""

    kind: Literal["relu", "leaky relu", "gelu", "tanh"]


@dataclass(frozen=True, slots=True)
class Gate:
    """silu(gate) · up, of features that hold both.

    Gate and up features alternate in blocks, so that every part of a column split holds
    pairs. A second argument scales the rows.

    Fields:
        width: features of each [1].
    """

    width: int

    @property
    def block(self) -> int:
        """Features of a block: as many as give the most blocks, but 64 at most [1]."""
        return min(
            self.width // blocks
            for blocks in range(1, _MOST_BLOCKS + 1)
            if self.width % blocks == 0
        )


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Subtraction of a mean and division by a deviation, then gain and bias.

    Fields:
        kind: over the features of a token (`layer`; `rms` without the mean), a channel
            of all samples (`batch`), or a channel of one sample (`instance`).
        start: first feature that it reads, where several norms share an input [1].
        width: features, or channels [1].
    """

    kind: Literal["layer", "rms", "batch", "instance"]
    width: int
    start: int = 0


@dataclass(frozen=True, slots=True)
class HeadNorm:
    """RMS normalisation of queries and keys, head by head, without gains.

    Fields:
        per_group: query heads a key-value head [1].
        width: features of a head [1].
    """

    per_group: int
    width: int


@dataclass(frozen=True, slots=True)
class HeadGains:
    """The gains of `HeadNorm`: one vector for queries, one for keys.

    Fields:
        per_group: query heads a key-value head [1].
        width: features of a head [1].
    """

    per_group: int
    width: int


@dataclass(frozen=True, slots=True)
class Addition:
    """The sum of its arguments, the first dropped out before if it says so."""

    has_dropout: bool = False


@dataclass(frozen=True, slots=True)
class Dropout:
    """Zeros at random places, or in random maps as a whole."""

    of_maps: bool = False


@dataclass(frozen=True, slots=True)
class Heads:
    """Queries, keys and values of all heads, out of one product.

    Its columns are ordered by key-value head: the queries of its group, key, value; so
    a column split by a divisor of the groups gives every part whole groups. Keys and
    values are repeated for all heads of their group.

    Fields:
        per_group: query heads a key-value head [1].
        width: features of a head [1].
        is_rotary: whether queries and keys are rotated by position.
    """

    per_group: int
    width: int
    is_rotary: bool


@dataclass(frozen=True, slots=True)
class LatentHeads:
    """Queries, keys and values of latent attention.

    Arguments: queries of all heads (plain, rotary), keys and values of all heads
    (plain, value), and the down projection, which ends in the shared rotary key.

    Fields:
        plain, rotary, value: features of a head [1].
    """

    plain: int
    rotary: int
    value: int


@dataclass(frozen=True, slots=True)
class JoinedHeads:
    """The heads of a token side by side."""


@dataclass(frozen=True, slots=True)
class Routing:
    """The choice of experts for every token, and the weights of the chosen.

    Fields:
        experts: to choose from [1].
        top_k: chosen a token [1].
    """

    experts: int
    top_k: int


@dataclass(frozen=True, slots=True)
class Pool:
    """One number a window of a map.

    Fields:
        kind: largest, mean, root of the sum of squares, or sum with a trained factor
            and bias a map (`scaled`).
        kernel, stride, padding: along height and width [1].
        is_ceiled: whether the last window may stand over the edge.
        channels: maps with a factor and a bias, if `scaled` [1].
    """

    kind: Literal["max", "average", "l2", "scaled"]
    kernel: int
    stride: int
    padding: int = 0
    is_ceiled: bool = False
    channels: int = 0


@dataclass(frozen=True, slots=True)
class Contrast:
    """Subtraction of a local mean over all maps, division by the local deviation.

    Fields:
        side: of the neighbourhood [1].
    """

    side: int


@dataclass(frozen=True, slots=True)
class Concatenation:
    """Its arguments side by side, along channels."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Its argument; what it costs is a sum of gradients on the way back."""


@dataclass(frozen=True, slots=True)
class Doubling:
    """Every pixel four times: maps of twice the height and width."""


@dataclass(frozen=True, slots=True)
class Shift:
    """Maps moved by a pixel up and left, zeros behind."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A dense vector and those looked up, as rows of one matrix a sample."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """What stands below the diagonal of a square, behind the dense vector."""


@dataclass(frozen=True, slots=True)
class Distances:
    """Squared distances of the features to a fixed code a class."""

    classes: int


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss, which is no part of what a network puts out."""

    kind: Literal["cross entropy", "binary cross entropy"]


Function = (
    Activation
    | Gate
    | Normalisation
    | HeadNorm
    | HeadGains
    | Addition
    | Dropout
    | Heads
    | LatentHeads
    | JoinedHeads
    | Routing
    | Pool
    | Contrast
    | Concatenation
    | Identity
    | Doubling
    | Shift
    | Stack
    | Pairs
    | Distances
    | Loss
)


def label(function: Function | None, direction: str) -> str:
    """Return what a function is called among measured kernels.

    >>> label(Activation("gelu"), "forward")
    'gelu activation forward'
    >>> label(Heads(1, 64, is_rotary=True), "backward")
    'rotary heads backward'
    """
    if function is None:
        return ""
    kind = getattr(function, "kind", "rotary" * getattr(function, "is_rotary", False))
    return f"{kind} {type(function).__name__.lower()} {direction}".strip()
