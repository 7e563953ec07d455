"""Attention in one kernel that never stores its scores.

The forward multiplies queries with keys and probabilities with values tile by tile;
the backward computes the scores again, so that it multiplies five times where the
mathematics needs four. A causal mask skips half of the tiles.

FLOP are stated for the mathematics over the full square, as everywhere else, so that
MFU means the same with and without this kernel; the dimensions are those executed.

Under context parallelism a device has its own queries and meets all keys, in one
kernel or in one for the keys of each device; what the latter give is then summed.

Limits: grouped keys and values are read as often as there are heads.

Source: Dao, FlashAttention-2, arXiv:2307.08691, sections 2.3 and 3.1; the sums of
partial results, Liu et al., Ring Attention, arXiv:2310.01889, section 3 (from memory).
"""

from __future__ import annotations

from dataclasses import dataclass

from models.context import Square, whole_square
from models.operators import Split
from models.work import Share, Work, memory_work

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
        kv_heads: heads of keys and values; 0 for as many [1].
    """

    name: str
    heads: int
    tokens: int
    width: int
    is_causal: bool
    value_width: int = 0
    kv_heads: int = 0

    split = Split.INNER
    parameters = 0
    is_core_attention = False

    def _work(
        self, name: str, share: Share, products: tuple[int, int], square: Square
    ) -> Work:
        """Return one kernel.

        Args:
            name: what a trace shows.
            share: of the device.
            products: executed over the features of keys, and over those of values;
                the mathematics needs as many over keys as over values [1].
            square: queries and keys.
        """
        heads = self.heads * share.samples * share.context / share.tensor
        values = self.value_width or self.width
        over_keys, over_values = products
        executed = over_keys + over_values
        needed_width = over_values * (self.width + values)
        needed = heads * (self.tokens / share.context) * self.tokens * square.portion
        # Of rows q and output, of keys k and v.
        operands = heads * (square.rows + square.keys) * (self.width + values)
        return Work(
            name,
            "attention",
            2.0 * needed * needed_width,
            share.element * operands * executed / _FORWARD_PRODUCTS,
            square.rows,
            square.keys,
            (over_keys * self.width + over_values * values) / executed,
            executed * heads * square.filled,
            function=f"flash attention {name[-1]}",
        )

    def _whole(self, share: Share) -> Square:
        return whole_square(self.tokens, share.context, is_causal=self.is_causal)

    def forward(self, share: Share) -> tuple[Work, ...]:
        """Return the output: two products."""
        return (self.forward_over(self._whole(share), share),)

    def forward_over(self, square: Square, share: Share) -> Work:
        """Return the output of some queries and keys: two products."""
        return self._work(f"{self.name} F", share, (1, 1), square)

    def backward_input(self, share: Share) -> tuple[Work, ...]:
        """Return the gradients of queries, keys and values: five products."""
        return (self.backward_over(self._whole(share), share),)

    def backward_over(self, square: Square, share: Share) -> Work:
        """Return the gradients of some queries, keys and values: five products."""
        return self._work(f"{self.name} I", share, _BACKWARD_PRODUCTS, square)

    def backward_weight(self, share: Share) -> tuple[Work, ...]:
        """Return nothing: there is no weight."""
        del share
        return ()

    def summed_outputs(self, share: Share) -> Work:
        """Return adding the output of a step to that of the steps before it.

        Reads two and writes one, scaled by what both know of the row's maximum.
        """
        width = self.value_width or self.width
        heads = self.heads / share.tensor
        elements = 3 * heads * share.samples * self.tokens * width
        return memory_work(f"{self.name} sum F", share.element * elements)

    def summed_gradients(self, share: Share) -> Work:
        """Return the same for the gradients of queries, and of keys and values."""
        heads = self.heads / share.tensor
        queries = share.element * heads * share.samples * self.tokens * self.width
        size = 3 * (queries + self.key_value_bytes(share))
        return memory_work(f"{self.name} sum I", size, launches=2)

    def key_value_bytes(self, share: Share) -> float:
        """Return the keys and values of the device's own tokens [B].

        element · samples · tokens · kv heads / t · (width of a key and of a value);
        more tensor ranks than kv heads hold one each.
        """
        heads = max((self.kv_heads or self.heads) / share.tensor, 1)
        width = self.width + (self.value_width or self.width)
        return share.element * share.samples * self.tokens * heads * width

    def saved_bytes(self, share: Share) -> float:
        """Return a statistic a row; the output is kept as the next product's input."""
        rows = self.heads * self.tokens * share.samples / share.tensor
        return _STATISTIC_BYTES * rows
