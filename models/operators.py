"""The operators that layers are made of: dimensions in, `Work` out.

An operator states its dimensions for one sample and before any split.
From those follow, by formula and for any `Share` of a device: the kernels of its
forward pass (F), of the gradient of its inputs (I) and of its weights (W), its
parameters, and the activation bytes that it keeps for the backward pass.

`Split` says how tensor parallelism divides an operator; which collectives that
costs is decided in the lowering, not here.

Source of the splits: Megatron-LM, arXiv:1909.08053, section 3.
Source of the saved activations: Korthikanti et al., arXiv:2205.05198, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from models.work import Share, Work, WorkKind, matrix_work, memory_work


class Split(Enum):
    """How tensor parallelism divides an operator.

    `NONE` is replicated on every tensor rank (and divided by sequence parallelism);
    `COLUMN` divides the weight's outputs; `ROW` divides its inputs, so its output is a
    partial sum; `INNER` works on activations that a column split already divided;
    `VOCABULARY` divides the rows of an embedding table.
    """

    NONE = "none"
    COLUMN = "column"
    ROW = "row"
    INNER = "inner"
    VOCABULARY = "vocabulary"


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
    """

    name: str
    rows: int
    inner: int
    columns: int
    bias: bool = True
    split: Split = Split.NONE
    owns_weight: bool = True
    needs_input_gradient: bool = True

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
        return (_product(f"{self.name} F", share, rows, columns, inner),)

    def backward_input(self, share: Share) -> tuple[Work, ...]:
        """Return dX = dY Aᵀ, or nothing where X is the sample itself."""
        if not self.needs_input_gradient:
            return ()
        rows, columns, inner = self._dims(share)
        return (_product(f"{self.name} I", share, rows, inner, columns),)

    def backward_weight(self, share: Share) -> tuple[Work, ...]:
        """Return dA = Xᵀ dY, and the bias's gradient: dY summed over its rows."""
        rows, columns, inner = self._dims(share)
        weight = _product(f"{self.name} W", share, inner, columns, rows)
        if not self.bias:
            return (weight,)
        summed = share.element * rows * columns
        return weight, memory_work(f"{self.name} bias W", summed)

    def saved_bytes(self, share: Share) -> float:
        """Return the input's bytes [B]."""
        divisor = share.tensor if self.split is Split.ROW else share.sequence
        return share.element * share.samples * self.rows * self.inner / divisor


def _product(
    name: str, share: Share, rows: float, columns: float, inner: float
) -> Work:
    return matrix_work(
        name, rows=rows, columns=columns, inner=inner, batch=1, element=share.element
    )


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

    def _product(self, name: str, share: Share, dims: tuple[int, int, int]) -> Work:
        rows, columns, inner = dims
        batch = self.batch * share.samples / degree(self.split, share)
        return matrix_work(
            name,
            rows=rows,
            columns=columns,
            inner=inner,
            batch=batch,
            element=share.element,
        )

    def forward(self, share: Share) -> tuple[Work, ...]:
        """Return C = A B."""
        dims = (self.rows, self.columns, self.inner)
        return (self._product(f"{self.name} F", share, dims),)

    def backward_input(self, share: Share) -> tuple[Work, ...]:
        """Return dA = dC Bᵀ and dB = Aᵀ dC."""
        return (
            self._product(
                f"{self.name} I1", share, (self.rows, self.inner, self.columns)
            ),
            self._product(
                f"{self.name} I2", share, (self.inner, self.columns, self.rows)
            ),
        )

    def backward_weight(self, share: Share) -> tuple[Work, ...]:
        """Return nothing: there is no weight."""
        del share
        return ()

    def saved_bytes(self, share: Share) -> float:
        """Return the bytes of the kept operands [B]."""
        elements = self.saved_elements * share.samples / degree(self.split, share)
        return share.element * elements


@dataclass(frozen=True, slots=True)
class Convolution:
    """A two-dimensional convolution, priced as an implicit matrix product.

    Fields:
        channels_in, channels_out: feature maps [1].
        kernel: height and width of the filter [1].
        output: height and width of the output [1].
        inputs: elements of the input, a sample [1].
        groups: independent channel groups [1].
        bias: whether a bias is added (its kernel is fused) [bool].
        needs_input_gradient: False where the input is the sample itself [bool].
        keeps_input: False where another operator already keeps the same input for
            the backward pass, as the branches of a fork share theirs [bool].
    """

    name: str
    channels_in: int
    channels_out: int
    kernel: tuple[int, int]
    output: tuple[int, int]
    inputs: int
    groups: int = 1
    bias: bool = False
    needs_input_gradient: bool = True
    keeps_input: bool = True

    split = Split.NONE
    is_core_attention = False

    @property
    def parameters(self) -> int:
        """Weights and bias [1]."""
        height, width = self.kernel
        weights = self.channels_out * self.channels_in // self.groups * height * width
        return weights + (self.channels_out if self.bias else 0)

    @property
    def _outputs(self) -> int:
        return self.output[0] * self.output[1] * self.channels_out

    def _dims(self, share: Share) -> tuple[float, float, float]:
        pixels = self.output[0] * self.output[1] * share.samples
        inner = self.channels_in // self.groups * self.kernel[0] * self.kernel[1]
        return pixels, self.channels_out / self.groups, inner

    def _work(self, name: str, share: Share, dims: tuple[float, float, float]) -> Work:
        rows, columns, inner = dims
        elements = share.samples * (self.inputs + self._outputs) + self.parameters
        return Work(
            name,
            "matrix",
            2.0 * self.groups * rows * columns * inner,
            share.element * elements,
            rows,
            columns,
            inner,
            self.groups,
        )

    def forward(self, share: Share) -> tuple[Work, ...]:
        """Return the outputs: pixels x (channels_in · filter) @ channels_out."""
        return (self._work(f"{self.name} F", share, self._dims(share)),)

    def backward_input(self, share: Share) -> tuple[Work, ...]:
        """Return the gradient of the inputs; as many FLOP as the forward."""
        if not self.needs_input_gradient:
            return ()
        rows, columns, inner = self._dims(share)
        return (self._work(f"{self.name} I", share, (rows, inner, columns)),)

    def backward_weight(self, share: Share) -> tuple[Work, ...]:
        """Return the gradient of the filters; as many FLOP as the forward."""
        rows, columns, inner = self._dims(share)
        return (self._work(f"{self.name} W", share, (inner, columns, rows)),)

    def saved_bytes(self, share: Share) -> float:
        """Return the input's bytes, unless another operator keeps it [B]."""
        kept = self.inputs if self.keeps_input else 0
        return share.element * share.samples * kept


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

    def _bytes(self, size: float, share: Share) -> float:
        scale = share.element / 2.0 if self.scales else 1.0
        size = size * scale + self.mask_bytes
        return size * share.samples / degree(self.split, share)

    def forward(self, share: Share) -> tuple[Work, ...]:
        """Return one memory-bound kernel, or several fused into one price."""
        size = self._bytes(self.forward_bytes, share)
        launches = self.launches[0]
        if launches == 0:
            return ()
        name = f"{self.name} F"
        return (memory_work(name, size, launches=launches, kind=self.kind),)

    def backward_input(self, share: Share) -> tuple[Work, ...]:
        """Return the kernel of the input's gradient (and of gain and bias)."""
        size = self._bytes(self.backward_bytes, share)
        launches = self.launches[1]
        if launches == 0:
            return ()
        name = f"{self.name} I"
        return (memory_work(name, size, launches=launches, kind=self.kind),)

    def backward_weight(self, share: Share) -> tuple[Work, ...]:
        """Return nothing: gain and bias are computed with the input's gradient."""
        del share
        return ()

    def saved_bytes(self, share: Share) -> float:
        """Return the kept bytes [B]."""
        return self._bytes(self.kept_bytes, share)


@dataclass(frozen=True, slots=True)
class Embedding:
    """A table look-up.

    Fields:
        entries: rows of the table, such as the vocabulary [1].
        width: features of a row [1].
        rows: look-ups a sample, such as tokens [1].
    """

    name: str
    entries: int
    width: int
    rows: int
    split: Split = Split.VOCABULARY

    is_core_attention = False

    @property
    def parameters(self) -> int:
        """The table [1]."""
        return self.entries * self.width

    def _size(self, share: Share) -> float:
        return 2.0 * share.element * share.samples * self.rows * self.width

    def forward(self, share: Share) -> tuple[Work, ...]:
        """Return the gather of the rows looked up.

        A divided table masks and clamps its indices before, and clears the rows of
        other ranks after.
        """
        launches = 4 if self.split is Split.VOCABULARY else 1
        return (memory_work(f"{self.name} F", self._size(share), launches=launches),)

    def backward_input(self, share: Share) -> tuple[Work, ...]:
        """Return nothing: indices have no gradient."""
        del share
        return ()

    def backward_weight(self, share: Share) -> tuple[Work, ...]:
        """Return the scatter-add of the gradients into a dense table."""
        table = share.element * self.entries * self.width / degree(self.split, share)
        return (memory_work(f"{self.name} W", self._size(share) + table),)

    def saved_bytes(self, share: Share) -> float:
        """Return the indices, 8 bytes each [B]."""
        return 8.0 * share.samples * self.rows
