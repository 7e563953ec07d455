"""Matrix products: of weights and activations, and of two activations."""

from __future__ import annotations

from collections.abc import Sequence
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
        parts: columns of the matrices that this one joins, where an implementation
            multiplies by each; empty if by one [1].
        is_apart: whether this implementation does so [bool].
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
    is_apart: bool = False

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

    def _each(self, share: Share) -> list[tuple[float, float, float]]:
        """Return rows, columns and inner features of every product by itself."""
        rows, columns, inner = self._dims(share)
        parts = self.parts if self.is_apart else ()
        widths = [columns * part / self.columns for part in parts] or [columns]
        return [(rows, width, inner) for width in widths]

    def forward(self, share: Share) -> tuple[Work, ...]:
        """Return Y = X A."""
        each = self._each(share)
        has_all = self.split is Split.COLUMN
        return _products(f"{self.name} F", "forward", share, each, gathered=has_all)

    def backward_input(self, share: Share) -> tuple[Work, ...]:
        """Return dX = dY Aᵀ, or nothing where X is the sample itself.

        Of matrices apart, what each gives is added in one kernel.
        """
        if not self.needs_input_gradient:
            return ()
        each = [(rows, inner, columns) for rows, columns, inner in self._each(share)]
        has_all = self.split is Split.ROW
        works = _products(f"{self.name} I", "input", share, each, gathered=has_all)
        if len(each) == 1:
            return works
        rows, inner, _ = each[0]
        size = share.element * rows * inner * (len(each) + 1)
        return (*works, memory_work(f"{self.name} sum I", size))

    def backward_weight(self, share: Share) -> tuple[Work, ...]:
        """Return dA = Xᵀ dY, and the bias's gradient: dY summed over its rows."""
        each = [(inner, columns, rows) for rows, columns, inner in self._each(share)]
        weight = _products(f"{self.name} W", "weight", share, each)
        if not self.bias:
            return weight
        rows, columns, _ = self._dims(share)
        summed = share.element * rows * columns
        name = f"{self.name} bias W"
        return (*weight, memory_work(name, summed, function="bias weight"))

    def saved_bytes(self, share: Share) -> float:
        """Return the input's bytes, unless another operator keeps it [B]."""
        if not self.keeps_input:
            return 0.0
        divisor = share.tensor if self.split is Split.ROW else share.sequence
        return share.element * share.samples * self.rows * self.inner / divisor


def _products(
    name: str,
    direction: str,
    share: Share,
    each: Sequence[tuple[float, float, float]],
    *,
    gathered: bool = False,
) -> tuple[Work, ...]:
    """Return products with weights, after casts of their factors where there are any.

    Args:
        name: what a trace shows.
        direction: of the pass.
        share: of the device.
        each: rows, columns and inner of each; the first factor is the same for all,
            the layer's input, but for gradients of that.
        gathered: whether the first factor came from all tensor ranks.
    """
    products = tuple(
        matrix_work(
            name,
            rows=rows,
            columns=columns,
            inner=inner,
            batch=1,
            element=share.element,
            operand=share.operand,
            function=f"product {direction}",
        )
        for rows, columns, inner in each
    )
    if share.operand is None or not share.cast_reads:
        return products
    return _casts(name, direction, share, each, gathered=gathered), *products


def _casts(
    name: str,
    direction: str,
    share: Share,
    each: Sequence[tuple[float, float, float]],
    *,
    gathered: bool,
) -> Work:
    """Return what makes the factors of products narrow, or turns narrow ones.

    With a scale found anew (fp8), a cast reads its factor for the largest number,
    unless that was found before, and again to write it in the narrow format. Inputs and
    weights are cast forward, gradients of outputs for those of inputs. Another product
    reads a narrow factor along its other dimension, for which it is copied.

    Source: pytorch/ao, `float8_linear.py`; that fast products of fp8 read both factors
        along the dimension that is summed over, NVIDIA's cublasLtMatmul (from memory).
    """
    assert share.operand is not None
    others: float = sum(inner * columns for _, columns, inner in each)
    first = [rows * inner for rows, _, inner in each]
    cast = share.cast_reads * share.element + share.operand
    turned = 2.0 * share.operand
    parts = share.cast_parts if gathered else 1
    if direction == "weight":
        return memory_work(f"{name} casts", turned * (first[0] + others), launches=2)
    if direction == "input":
        size = cast * sum(first) / parts + turned * others
        launches = share.cast_reads + 1
    else:
        size, launches = cast * (first[0] / parts + others), 2 * share.cast_reads
    return memory_work(f"{name} casts", size, launches=launches)


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
