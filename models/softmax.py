"""Softmax over attention scores, as Megatron-LM ran it before flash attention.

One fused kernel scales, masks and normalises, if four rows of scores fit its blocks:
the number of heads on the device times samples must be a multiple of four, and a
number two bytes. Otherwise six framework kernels do it in fp32.

Limits: the longest row is that of the kernel's later versions; in 2021 it was 2048.

Source: Megatron-LM's FusedScaleMaskSoftmax.is_kernel_available, in copies that take
rows of up to 2048, 4096 and 8192.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.operators import Split
from models.work import Share, Work, WorkKind, memory_work

_ROWS_PER_BLOCK = 4
_LONGEST_ROW = 8192

# Bytes a score, at two bytes a number. The fused forward reads the scores (only half
# of them under a causal mask) and writes all probabilities; backward reads
# probabilities and gradient, writes one.
# Unfused: scale (4), mask (5), to fp32 (6), softmax (8), back (3, rounded) in forward;
# its backward repeats all but the mask in reverse.
_FUSED = {"causal": 3.0, "full": 4.0, "backward": 6.0}
_UNFUSED = {"forward": 26.0, "backward": 20.0}
_UNFUSED_LAUNCHES = {"forward": 6, "backward": 4}


def scores_kind(row: int) -> WorkKind:
    """Return which memory-bound kernel works on rows of `row` attention scores.

    Those longer than 1024 use the memory worse: a warp no longer holds its row without
    spilling, and the scores outgrow the cache.
    """
    return "memory" if row <= 1024 else "scores"


@dataclass(frozen=True, slots=True)
class MaskedSoftmax:
    """Softmax of a square of scores per head.

    Fields:
        heads: squares a sample, before any split [1].
        keys: rows and columns of a square, the sequence length [1].
        is_causal: whether the mask is triangular.
    """

    name: str
    heads: int
    keys: int
    is_causal: bool

    split = Split.INNER
    parameters = 0
    is_core_attention = True

    def _squares(self, share: Share) -> float:
        return self.heads * share.samples / share.tensor

    def _work(self, name: str, share: Share, fused: float, direction: str) -> Work:
        squares = self._squares(share)
        fits = self.keys <= _LONGEST_ROW and share.element <= 2
        is_fused = (squares % _ROWS_PER_BLOCK == 0) * fits
        per_score = is_fused * fused + (1 - is_fused) * _UNFUSED[direction]
        launches = is_fused + (1 - is_fused) * _UNFUSED_LAUNCHES[direction]
        scores = squares * self.keys * self.keys * share.element / 2
        kind = scores_kind(self.keys)
        size = per_score * scores
        function = f"softmax {direction}"
        return memory_work(name, size, launches=launches, kind=kind, function=function)

    def forward(self, share: Share) -> tuple[Work, ...]:
        """Return the probabilities: one fused kernel, or six."""
        fused = _FUSED["causal" if self.is_causal else "full"]
        return (self._work(f"{self.name} F", share, fused, "forward"),)

    def backward_input(self, share: Share) -> tuple[Work, ...]:
        """Return the gradient of the scores: one fused kernel, or four."""
        fused = _FUSED["backward"]
        return (self._work(f"{self.name} I", share, fused, "backward"),)

    def backward_weight(self, share: Share) -> tuple[Work, ...]:
        """Return nothing: there is no weight."""
        del share
        return ()

    def saved_bytes(self, share: Share) -> float:
        """Return the probabilities' bytes [B]."""
        return share.element * self._squares(share) * self.keys * self.keys
