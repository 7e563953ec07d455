"""What an operator is, and how tensor parallelism divides it.

`Split` says how tensor parallelism divides an operator; which collectives that
costs is decided in the lowering, not here.

Source of the splits: Megatron-LM, arXiv:1909.08053, section 3.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from models.work import Share, Work


class Split(Enum):
    """How tensor parallelism divides an operator.

    `NONE` is replicated on every tensor rank (and divided by sequence parallelism);
    `COLUMN` divides the weight's outputs; `ROW` divides its inputs, so its output is a
    partial sum; `INNER` works on activations that a column split already divided;
    `VOCABULARY` divides the rows of an embedding table; `PLACES` divides the places of
    a grid, and with them the neurons, their weights and what they read.
    """

    NONE = "none"
    COLUMN = "column"
    ROW = "row"
    INNER = "inner"
    VOCABULARY = "vocabulary"
    PLACES = "places"


def degree(split: Split, share: Share) -> float:
    """Return by how much `split` divides the elements of an operator on `share`."""
    return share.sequence if split is Split.NONE else share.tensor


class Operator(Protocol):
    """One differentiable operation of a layer."""

    @property
    def name(self) -> str:
        """The operator's name within its layer."""

    @property
    def split(self) -> Split:
        """How tensor parallelism divides it."""

    @property
    def parameters(self) -> int:
        """Trainable parameters before any split [1]."""

    @property
    def is_core_attention(self) -> bool:
        """Whether selective recomputation drops and repeats it."""

    def forward(self, share: Share) -> tuple[Work, ...]:
        """Return the kernels of the forward pass."""

    def backward_input(self, share: Share) -> tuple[Work, ...]:
        """Return the kernels of the gradients of the inputs."""

    def backward_weight(self, share: Share) -> tuple[Work, ...]:
        """Return the kernels of the gradients of the weights."""

    def saved_bytes(self, share: Share) -> float:
        """Return the activation bytes kept for the backward pass [B]."""
