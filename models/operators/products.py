"""Matrix products: of weights and activations, and of two activations."""

from __future__ import annotations

from dataclasses import dataclass

from models.operators.operator import Split, degree
from models.work import Share, Work, matrix_work, memory_work


@dataclass(frozen=True, slots=True)
class Linear:
    """A weight matrix applied to every row of the input.

    Fields:
        rows: input rows a sample, such as tokens [1].
        inner: input features [1].
        columns: output features [1].
        bias: whether a bias is added; that is fused, its gradient is not [bool].
        owns_weight: False where the weight is tied to another layer's [bool].
        needs_input_gradient: False where the input is the sample itself [bool].
        keeps_input: False where another operator keeps the same input [bool].
        casts_input: whether it casts its input itself where writers cast, as what
            attention gives is not; cast and transposed, that is then kept beside what
            attention keeps [bool].
        casts_gradient: the same of its output's gradient, which activations cast
            [bool].
        parts: columns of the matrices that this one joins, where an implementation
            multiplies by each; empty if by one [1].
    """

    name: str
    rows: int
    inner: int
    columns: int
    bias: bool = True
    split: Split = Split.NONE
    owns_weight: bool = True
    needs_input_gradient: bool = True
    keeps_input: bool = True
    parts: tuple[int, ...] = ()
    casts_input: bool = False
    casts_gradient: bool = True

    is_core_attention = False

    @property
    def parameters(self) -> int:
        """Weights and bias [1]."""
        own = self.inner * self.columns if self.owns_weight else 0
        return own + (self.columns if self.bias else 0)

    def _dims(self, share: Share) -> tuple[float, float, float]:
        columns = self.columns / (share.tensor if self.split is Split.COLUMN else 1)
        inner = self.inner / (share.tensor if self.split is Split.ROW else 1)
        # A replicated weight sees only its own rows under sequence parallelism.
        rows = self.rows / (share.sequence if self.split is Split.NONE else 1)
        return rows * share.samples, columns, inner

    def forward(self, share: Share) -> tuple[Work, ...]:
        """Return Y = X A."""
        rows, columns, inner = self._dims(share)
        dims = (rows, columns, inner)
        return _product(f"{self.name} F", "forward", share, dims)

    def backward_input(self, share: Share) -> tuple[Work, ...]:
        """Return dX = dY Aᵀ, or nothing where X is the sample itself."""
        if not self.needs_input_gradient:
            return ()
        rows, columns, inner = self._dims(share)
        return _product(f"{self.name} I", "input", share, (rows, inner, columns))

    def backward_weight(self, share: Share) -> tuple[Work, ...]:
        """Return dA = Xᵀ dY, and the bias's gradient: dY summed over its rows.

        Where writers cast, the kernel that casts dY sums it too, but for a row split,
        which sums its part before that is gathered.
        """
        rows, columns, inner = self._dims(share)
        weight = _product(f"{self.name} W", "weight", share, (inner, columns, rows))
        if not self.bias or (share.is_cast_by_writers and self.split is not Split.ROW):
            return weight
        summed = share.element * rows * columns
        if share.is_cast_by_writers:
            summed = summed / share.sequence
        name = f"{self.name} bias W"
        return (*weight, memory_work(name, summed, function="bias weight"))

    def saved_bytes(self, share: Share) -> float:
        """Return the input's bytes, unless another operator keeps it [B]."""
        if not self.keeps_input:
            return 0.0
        divisor = share.tensor if self.split is Split.ROW else share.sequence
        width = share.factor
        if self.casts_input and share.is_cast_by_writers:
            width = width + share.element
        return width * share.samples * self.rows * self.inner / divisor


def _product(
    name: str, direction: str, share: Share, dims: tuple[float, float, float]
) -> tuple[Work, ...]:
    """Return a product with weights, after casts of both factors where there are any.

    With a scale found anew at each use (fp8), a cast reads its factor for the largest
    number, unless that was found before, and again to write it in the narrow format.
    """
    rows, columns, inner = dims
    product = matrix_work(
        name,
        rows=rows,
        columns=columns,
        inner=inner,
        batch=1,
        element=share.element,
        operand=share.operand,
        function=f"product {direction}",
    )
    if share.operand is None or not share.cast_reads:
        return (product,)
    moved = (share.cast_reads * share.element + share.operand) * (
        rows * inner + inner * columns
    )
    return memory_work(f"{name} casts", moved, launches=2 * share.cast_reads), product


@dataclass(frozen=True, slots=True)
class BatchedProduct:
    """Products of two activations, such as attention scores.

    Fields:
        rows, columns, inner: dimensions of one product [1].
        batch: products a sample, such as heads [1].
        saved_elements: activation elements a sample kept for backward [1].
    """

    name: str
    rows: int
    columns: int
    inner: int
    batch: int
    saved_elements: int
    split: Split = Split.INNER
    is_core_attention: bool = False

    parameters = 0

    def _product(self, letter: str, share: Share, dims: tuple[int, int, int]) -> Work:
        rows, columns, inner = dims
        direction = "forward" if letter == "F" else "backward"
        batch = self.batch * share.samples / degree(self.split, share)
        return matrix_work(
            f"{self.name} {letter}",
            rows=rows,
            columns=columns,
            inner=inner,
            batch=batch,
            element=share.element,
            function=f"{self.name} {direction}",
        )

    def forward(self, share: Share) -> tuple[Work, ...]:
        """Return C = A B."""
        dims = (self.rows, self.columns, self.inner)
        return (self._product("F", share, dims),)

    def backward_input(self, share: Share) -> tuple[Work, ...]:
        """Return dA = dC Bᵀ and dB = Aᵀ dC."""
        return (
            self._product("I1", share, (self.rows, self.inner, self.columns)),
            self._product("I2", share, (self.inner, self.columns, self.rows)),
        )

    def backward_weight(self, share: Share) -> tuple[Work, ...]:
        """Return nothing: there is no weight."""
        del share
        return ()

    def saved_bytes(self, share: Share) -> float:
        """Return the bytes of the kept operands [B]."""
        elements = self.saved_elements * share.samples / degree(self.split, share)
        return share.element * elements
