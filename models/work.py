"""What one kernel does: FLOP, bytes and matrix dimensions, and no time.

A `Work` is the smallest unit that the rest of the project prices.
It is produced by the operators of a layer for one device's `Share` of that layer.

Every number may be a NumPy array instead of a float: the formulas that make and
price a `Work` use arithmetic that broadcasts, and the batch mode of the analytical
engine relies on it to price thousands of plans in one pass.

Limits: FLOP counts matrix products and convolutions only (two per multiply-add), the
convention of `torch.utils.flop_counter`; element-wise arithmetic is free beside the
bytes it moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WorkKind = Literal[
    "matrix", "grouped", "local", "attention", "memory", "scores", "loss"
]
Direction = Literal["forward", "input", "weight"]


@dataclass(frozen=True, slots=True)
class Share:
    """One device's share of a layer.

    Fields:
        samples: training samples that the device processes at once, by their tokens:
            under context parallelism the c-th part of each [1].
        tensor: tensor-parallel degree t that divides matrices and heads [1].
        sequence: degree that divides the operators outside those matrices;
            t under sequence parallelism, else 1 [1].
        element: bytes of one activation or weight in compute [B].
        operand: bytes of one number that enters a product with weights, to which it is
            cast just before; None where nothing is cast [B].
        cast_reads: times that those casts read a factor: for its largest number and to
            write it; 1 where its writer finds the former; 0 where the writer casts,
            and weights are cast once a step [1].
        cast_parts: parts of a factor that comes from all tensor ranks of which each
            casts one, before it is sent; 1 where all of it is cast afterwards [1].
        gradient: bytes of one gradient where micro-batches are summed [B].
        expert: expert-parallel degree e: a device holds a part of the experts, and
            computes for the tokens of e devices [1].
        has_whole_experts: whether tensor ranks are among these e and divide no expert.
        dispatched: bytes of one number sent to experts; None for those of compute [B].
        neighbours: expert ranks to whom a token is sent once, g; 1 if to each of its
            experts [1].
        nodes: groups of them to which a token goes at most; 0 if unlimited [1].
        context: context-parallel degree c, which attention has to know, as its rows
            meet the keys of c devices [1].
        gathered: context ranks whose tokens a device gathers to have whole samples, of
            which it hands on its own; 1 where it does not [1].
        load: rows of the fullest device's experts over the mean [1].
        sums_within: whether the products that give gradients of weights add them to
            the sum so far [bool].
    """

    samples: float
    tensor: float = 1
    sequence: float = 1
    element: float = 2
    gradient: float = 2
    expert: float = 1
    context: float = 1
    load: float = 1
    sums_within: bool = False
    operand: float | None = None
    cast_reads: int = 2
    gathered: float = 1
    cast_parts: float = 1
    dispatched: float | None = None
    neighbours: float = 1
    nodes: float = 0
    has_whole_experts: bool = False

    @property
    def is_cast_by_writers(self) -> bool:
        """Whether kernels write what products read in the products' format."""
        return self.operand is not None and not self.cast_reads

    @property
    def factor(self) -> float:
        """Bytes of a number that a product of a block keeps or gathers [B]."""
        if self.operand is None or self.cast_reads:
            return self.element
        return self.operand


@dataclass(frozen=True, slots=True)
class Filtering:
    """Dimensions of a convolution, from which other ways to compute it follow.

    Fields:
        direction: what is computed: the outputs, or the gradient of inputs or weights.
        samples: in the batch of the device [1].
        groups: independent channel groups [1].
        channels_in, channels_out: of one group [1].
        kernel, stride, output: height and width [1].
        inputs: elements of the input, a sample [1].
        element: bytes of one number [B].
    """

    direction: Direction
    samples: float
    groups: float
    channels_in: float
    channels_out: float
    kernel: tuple[int, int]
    stride: int
    output: tuple[int, int]
    inputs: float
    element: float


@dataclass(frozen=True, slots=True)
class Work:
    """One kernel on one device.

    Fields:
        name: what a trace shows, such as `fc1 forward`.
        kind: `matrix` for products and convolutions, `grouped` for the many small
            products of experts in one kernel, `local` for products of small
            matrices by a kernel written for them, `attention` for both products of
            attention in one kernel. The others are limited by memory
            and differ in how well they use it: `memory`, streaming kernels;
            `scores`, over long rows of attention scores; `loss`, unfused passes over
            fp32 logits.
        flop: multiply-adds times two [FLOP].
        size: bytes read and written [B].
        rows, columns, inner, batch: the product is `batch` times
            (rows x inner) @ (inner x columns); zero for `memory` [1].
        launches: device kernels that the framework starts for it [1].
        filtering: of a convolution, which has other algorithms than that product.
        is_narrow: whether operands were cast to a format with a rate of its own.
        function: what is computed and in which pass, such as `gelu activation
            backward`: the word under which a machine's measured kernels have it.
    """

    name: str
    kind: WorkKind
    flop: float
    size: float
    rows: float = 0
    columns: float = 0
    inner: float = 0
    batch: float = 0
    launches: float = 1
    filtering: Filtering | None = None
    is_narrow: bool = False
    function: str = ""


def matrix_work(  # noqa: PLR0913 - the four dimensions of a batched product
    name: str,
    *,
    rows: float,
    columns: float,
    inner: float,
    batch: float,
    element: float,
    operand: float | None = None,
    function: str = "",
) -> Work:
    """Return the work of `batch` products (rows x inner) @ (inner x columns).

    FLOP = 2 · batch · rows · columns · inner;
    bytes = element · batch · (rows·inner + inner·columns + rows·columns)

    Args:
        name: what a trace shows.
        rows: m [1].
        columns: n [1].
        inner: k, the dimension summed over [1].
        batch: independent products [1].
        element: bytes of one number [B].
        operand: bytes of one number of both factors, if they were cast [B].
        function: what is computed, for measured kernels.
    """
    if operand is not None:
        factors = rows * inner + inner * columns
        size = batch * (operand * factors + element * rows * columns)
        flop = 2.0 * batch * rows * columns * inner
        dims = (rows, columns, inner, batch)
        return Work(
            name, "matrix", flop, size, *dims, is_narrow=True, function=function
        )
    size = element * batch * (rows * inner + inner * columns + rows * columns)
    flop = 2.0 * batch * rows * columns * inner
    dims = (rows, columns, inner, batch)
    return Work(name, "matrix", flop, size, *dims, function=function)


def memory_work(
    name: str,
    size: float,
    *,
    launches: float = 1,
    kind: WorkKind = "memory",
    function: str = "",
) -> Work:
    """Return the work of kernels that only move `size` bytes [B]."""
    return Work(name, kind, 0.0, size, launches=launches, function=function)
