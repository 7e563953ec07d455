"""Attention in one kernel that never stores its scores.

The forward multiplies queries with keys and probabilities with values tile by tile;
the backward computes the scores again, so that it multiplies five times where the
mathematics needs four. A causal mask skips half of the tiles.

FLOP are stated for the mathematics over the full square, as everywhere else, so that
MFU means the same with and without this kernel; the dimensions are those executed.

Source: Dao, FlashAttention-2, arXiv:2307.08691, sections 2.3 and 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.operators import Split
from models.work import Share, Work

_FORWARD_PRODUCTS = 2
# The scores again and the gradients of queries and keys; those of values and
# probabilities.
_BACKWARD_PRODUCTS = (3, 2)
_STATISTIC_BYTES = 4  # log-sum-exp of a row, fp32


@dataclass(frozen=True, slots=True)
class FlashAttention:
    """Softmax(Q Kᵀ) V without scores in memory.

    Fields:
        heads: a, before any split [1].
        tokens: s, rows and columns of a head's square [1].
        width: features of a head's query and key [1].
        is_causal: whether the mask is triangular.
        value_width: features of a head's value; 0 for the same [1].
    """

    name: str
    heads: int
    tokens: int
    width: int
    is_causal: bool
    value_width: int = 0

    split = Split.INNER
    parameters = 0
    is_core_attention = False

    def _work(
        self, name: str, share: Share, products: tuple[int, int], needed: int
    ) -> Work:
        """Return one kernel.

        Args:
            name: what a trace shows.
            share: of the device.
            products: executed over the features of keys, and over those of values [1].
            needed: products of the mathematics, half of them over each [1].
        """
        heads = self.heads * share.samples / share.tensor
        values = self.value_width or self.width
        over_keys, over_values = products
        executed = over_keys + over_values
        needed_width = needed * (self.width + values) // 2
        operands = 2 * heads * self.tokens * (self.width + values)  # q, k, v, output
        batch = executed * heads * (0.5 if self.is_causal else 1.0)
        return Work(
            name,
            "attention",
            2.0 * heads * self.tokens * self.tokens * needed_width,
            share.element * operands * executed / _FORWARD_PRODUCTS,
            self.tokens,
            self.tokens,
            (over_keys * self.width + over_values * values) / executed,
            batch,
        )

    def forward(self, share: Share) -> tuple[Work, ...]:
        """Return the output: two products."""
        return (self._work(f"{self.name} F", share, (1, 1), _FORWARD_PRODUCTS),)

    def backward_input(self, share: Share) -> tuple[Work, ...]:
        """Return the gradients of queries, keys and values: five products."""
        needed = 2 * _FORWARD_PRODUCTS
        return (self._work(f"{self.name} I", share, _BACKWARD_PRODUCTS, needed),)

    def backward_weight(self, share: Share) -> tuple[Work, ...]:
        """Return nothing: there is no weight."""
        del share
        return ()

    def saved_bytes(self, share: Share) -> float:
        """Return a statistic a row; the output is kept as the next product's input."""
        rows = self.heads * self.tokens * share.samples / share.tensor
        return _STATISTIC_BYTES * rows
