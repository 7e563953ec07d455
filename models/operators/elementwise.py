"""Operators without a product: their time is the bytes that they move."""

from __future__ import annotations

from dataclasses import dataclass

from models.functions import Function, label
from models.operators.operator import Split, degree
from models.operators.windows import Sliding
from models.work import Share, Work, WorkKind, memory_work


@dataclass(frozen=True, slots=True)
class Elementwise:
    """Any operator whose time is the bytes that it moves.

    Activations, dropout, residual additions, softmax, pooling, normalisation.

    Fields:
        forward_bytes: bytes moved forward, a sample, at two bytes an element [B].
        backward_bytes: the same for the backward pass [B].
        kept_bytes: activation bytes kept for backward, same convention [B].
        mask_bytes: further bytes of a mask or of indices, written forward, kept, and
            read backward; they do not scale with the element size [B].
        parameters: trainable parameters, such as gain and bias [1].
        launches: device kernels forward and backward; a direction without any costs
            nothing [1].
        scales: whether the bytes scale with the element size (fp32 logits do not).
        kind: which memory-bound kernel it is.
        cast_elements: of the output that products alone read, and that this kernel
            writes in their format where writers cast [1].
        sliding: what places of a grid read of the input, by which it is then divided;
            None where each reads its own place only.
        function: what it computes; None where nothing executes it yet.
    """

    name: str
    forward_bytes: float
    backward_bytes: float
    kept_bytes: float = 0.0
    parameters: int = 0
    split: Split = Split.NONE
    launches: tuple[int, int] = (1, 1)
    is_core_attention: bool = False
    scales: bool = True
    mask_bytes: float = 0.0
    kind: WorkKind = "memory"
    cast_elements: float = 0.0
    sliding: Sliding | None = None
    function: Function | None = None

    def _bytes(self, size: float, share: Share) -> float:
        scale = share.element / 2.0 if self.scales else 1.0
        size = size * scale + self.mask_bytes
        if self.sliding is not None and self.split is Split.PLACES:
            return size * share.samples * self.sliding.share(share.tensor)
        return size * share.samples / degree(self.split, share)

    def _work(self, letter: str, direction: str, size: float, launches: int) -> Work:
        return memory_work(
            f"{self.name} {letter}",
            size,
            launches=launches,
            kind=self.kind,
            function=label(self.function, direction),
        )

    def forward(self, share: Share) -> tuple[Work, ...]:
        """Return one memory-bound kernel, or several fused into one price."""
        size = self._bytes(self.forward_bytes, share)
        if self.cast_elements and share.is_cast_by_writers:
            narrowed = (share.element - share.factor) * self.cast_elements
            size = size - narrowed * share.samples / degree(self.split, share)
        launches = self.launches[0]
        if launches == 0:
            return ()
        return (self._work("F", "forward", size, launches),)

    def backward_input(self, share: Share) -> tuple[Work, ...]:
        """Return the kernel of the input's gradient (and of gain and bias)."""
        size = self._bytes(self.backward_bytes, share)
        launches = self.launches[1]
        if launches == 0:
            return ()
        return (self._work("I", "backward", size, launches),)

    def backward_weight(self, share: Share) -> tuple[Work, ...]:
        """Return nothing: gain and bias are computed with the input's gradient."""
        del share
        return ()

    def saved_bytes(self, share: Share) -> float:
        """Return the kept bytes [B]."""
        return self._bytes(self.kept_bytes, share)
