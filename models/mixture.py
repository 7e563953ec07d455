"""The operators of a mixture of experts: exchanging tokens, and many small products.

A router gives every token to k of E experts. Its rows are copied to their experts
(dispatch), each expert multiplies the rows it got, and the k results of a token are
summed (combine). The E products are one grouped kernel with equal parts.

Expert parallelism spreads the experts over e devices, which then exchange tokens
before and after; how many bytes is `TokenExchange.exchanged_bytes`, and which
messages, decided in the lowering.

Assumes: balance: every expert gets tokens · k / E rows of a sample, or as many times
more or fewer as the capacity factor says. What the fullest of several devices gets
beyond that is decided in the lowering.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from models.operators.operator import Split
from models.work import Share, Work, matrix_work, memory_work


@dataclass(frozen=True, slots=True)
class ExpertLinear:
    """Weight matrices of which every row of the input meets one.

    In fp8 rows are cast, and weights once a step, which costs nothing here.

    FLOP are those of the rows that experts need; the dimensions are executed, with
    the rows that pad an expert up to its capacity.

    Fields:
        rows: a sample over all experts at balance: tokens times k [1].
        inner: input features [1].
        columns: output features [1].
        experts: E, matrices [1].
        active: k, of which a token meets so many [1].
        split: how tensor parallelism divides every expert.
        capacity: rows computed over those at balance [1].
    """

    name: str
    rows: int
    inner: int
    columns: int
    experts: int
    active: int
    split: Split
    capacity: float = 1.0

    is_core_attention = False

    @property
    def parameters(self) -> int:
        """Weights of all experts [1]."""
        return self.experts * self.inner * self.columns

    @property
    def active_parameters(self) -> int:
        """Weights that one token meets [1]."""
        return self.active * self.inner * self.columns

    def _dims(self, share: Share) -> tuple[float, float, float]:
        """Return rows, columns and inner of one expert."""
        columns = self.columns / (share.tensor if self.split is Split.COLUMN else 1)
        inner = self.inner / (share.tensor if self.split is Split.ROW else 1)
        rows = self.rows * share.samples * share.expert / self.experts
        return self.capacity * rows, columns, inner

    def _work(self, name: str, share: Share, dims: tuple[float, float, float]) -> Work:
        rows, columns, inner = dims
        work = matrix_work(
            name,
            rows=rows,
            columns=columns,
            inner=inner,
            batch=self.experts / share.expert,
            element=share.element,
            operand=share.operand,
        )
        padded = max(1.0, self.capacity)
        return replace(work, kind="grouped", flop=work.flop / padded)

    def _cast(self, letter: str, share: Share, features: float) -> tuple[Work, ...]:
        """Return the cast of one factor's rows, if there is any.

        It is read in full, once more for each search of its largest number, and written
        twice: transposed for the gradient of weights. What was sent in a narrow format,
        inputs of the first product and gradients of the last, is only transposed.

        Args:
            letter: of the pass whose factor it is.
            share: of the device.
            features: of a row [1].
        """
        if share.operand is None:
            return ()
        arrived = "F" if self.split is Split.COLUMN else "I"
        reads = share.element * max(share.cast_reads, 1)
        if share.dispatched is not None and letter == arrived:
            reads = 0.0
        numbers = self._dims(share)[0] * features * self.experts / share.expert
        size = (reads + 2 * share.operand) * numbers
        return (memory_work(f"{self.name} cast {letter}", size),)

    def forward(self, share: Share) -> tuple[Work, ...]:
        """Return Y = X A, expert by expert."""
        rows, columns, inner = self._dims(share)
        product = self._work(f"{self.name} F", share, (rows, columns, inner))
        return (*self._cast("F", share, inner), product)

    def backward_input(self, share: Share) -> tuple[Work, ...]:
        """Return dX = dY Aᵀ."""
        rows, columns, inner = self._dims(share)
        product = self._work(f"{self.name} I", share, (rows, inner, columns))
        return (*self._cast("I", share, columns), product)

    def backward_weight(self, share: Share) -> tuple[Work, ...]:
        """Return dA = Xᵀ dY."""
        rows, columns, inner = self._dims(share)
        return (self._work(f"{self.name} W", share, (inner, columns, rows)),)

    def saved_bytes(self, share: Share) -> float:
        """Return the input's bytes, padding included [B].

        Under sequence parallelism rows are gathered before the first product, and kept
        as they are.
        """
        divisor = share.tensor if self.split is Split.ROW else 1
        elements = self.capacity * self.rows * self.inner
        return share.factor * share.samples * elements / divisor

    def kept_for_weight(self, share: Share) -> float:
        """Return the bytes of the input, and of the gradient of the output [B]."""
        columns = self.columns / (share.tensor if self.split is Split.COLUMN else 1)
        elements = self.capacity * self.rows * columns
        return self.saved_bytes(share) + share.element * share.samples * elements


@dataclass(frozen=True, slots=True)
class TokenExchange:
    """Copies tokens to the rows of their experts, or sums the rows of a token.

    Both move the rows once and the tokens once, each way (a token that is copied k
    times comes from the cache); the backward of one is the forward of the other.
    Nothing is kept: the experts keep their input, and the router's weights are applied
    inside the experts, before the last product, as Megatron-Core does since 2025 (from
    memory).

    Fields:
        direction: `dispatch` or `combine`.
        tokens: a sample [1].
        width: features of a token [1].
        copies: k, rows of a token [1].
        experts: E, of the block [1].
        capacity: rows over those at balance [1].
    """

    name: str
    direction: Literal["dispatch", "combine"]
    tokens: int
    width: int
    copies: int
    experts: int
    capacity: float = 1.0

    split = Split.NONE
    parameters = 0
    is_core_attention = False

    def _moved(self, share: Share) -> float:
        """Return the bytes of reading and writing all rows and tokens once [B]."""
        elements = self.tokens * self.width * (self.copies * self.capacity + 1)
        return share.element * share.samples * elements / share.sequence

    def forward(self, share: Share) -> tuple[Work, ...]:
        """Return one gather or one sum."""
        return (memory_work(f"{self.name} F", self._moved(share)),)

    def backward_input(self, share: Share) -> tuple[Work, ...]:
        """Return the reverse."""
        return (memory_work(f"{self.name} I", self._moved(share)),)

    def backward_weight(self, share: Share) -> tuple[Work, ...]:
        """Return nothing: there is no weight."""
        del share
        return ()

    def saved_bytes(self, share: Share) -> float:
        """Return nothing [B]."""
        del share
        return 0.0

    def exchanged_bytes(self, share: Share) -> float:
        """Return the buffer that a device sends to the experts, or gets back [B].

        element · samples · tokens · k · capacity · width, divided by sequence
        parallelism: the size of an all-to-all over the expert-parallel group, in
        forward and again in backward. Of it, 1 / e stays on the device.
        """
        elements = self.tokens * self.copies * self.capacity * self.width
        return share.element * share.samples * elements / share.sequence

    def weight_bytes(self, share: Share) -> float:
        """Return the weights of all routes [B].

        element · samples · tokens · k · capacity: where tensor parallelism divides the
        experts, the size of the all-reduce of their gradients.
        """
        elements = self.tokens * self.copies * self.capacity
        return share.element * share.samples * elements

    def token_bytes(self, share: Share) -> float:
        """Return the tokens of all tensor ranks [B].

        element · samples · tokens · width: where tensor parallelism divides the
        experts, the size of the all-reduce of a combine's output in forward and of
        a dispatch's gradient in backward.
        """
        return share.element * share.samples * self.tokens * self.width
