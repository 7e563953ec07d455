"""Deep learning recommendation models: embedding tables beside a perceptron.

Dense features pass a bottom perceptron, sparse features look up one table each; all
pairs of the resulting vectors are multiplied, and a top perceptron reads the products.

Tables and bottom perceptron stand side by side, so a cut between them carries the
vectors looked up and, before the bottom perceptron, the dense features:
`output_elements` counts both.

Limits: tables are replicated like any weight; dividing them over devices is a split,
which the lowering does not know yet. Their gradients are sparse, but replicas sum
them as if they were as large as the tables.

Source: Naumov et al., arXiv:1906.00091; facebookresearch/dlrm dlrm_s_pytorch.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from models.functions import Activation, Loss, Pairs, Stack
from models.model import Layer, Model
from models.operators import (
    BatchedProduct,
    Elementwise,
    EmbeddingBag,
    Linear,
    Operator,
    Split,
)
from models.wiring import INPUT, PREVIOUS, carried


class Dlrm(NamedTuple):
    """Dimensions of a recommendation model.

    Fields:
        tables: entries of every embedding table [1].
        bottom: widths of the bottom perceptron, dense features first; the last is that
            of a table's row too [1].
        top: widths behind the interaction, the last of which is 1 [1].
        lookups: rows read of every table, a sample [1].
    """

    tables: tuple[int, ...]
    bottom: tuple[int, ...]
    top: tuple[int, ...]
    lookups: int = 1


CRITEO_KAGGLE = Dlrm(
    tables=(
        *(1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593),
        *(3194, 27, 14992, 5461306, 10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105),
        142572,
    ),
    bottom=(13, 512, 256, 64, 16),
    top=(512, 256, 1),
)
CRITEO_TERABYTE = Dlrm(
    tables=(
        *(40_000_000, 39060, 17295, 7424, 20265, 3, 7122, 1543, 63, 40_000_000),
        *(3067956, 405282, 10, 2209, 11938, 155, 4, 976, 14, 40_000_000),
        *(40_000_000, 40_000_000, 590152, 12973, 108, 36),
    ),
    bottom=(13, 512, 256, 128),
    top=(1024, 1024, 512, 256, 1),
)


def dlrm(name: str, shape: Dlrm) -> Model:
    """Return the tables, the bottom perceptron, the interaction and the top one."""
    width = shape.bottom[-1]
    beside = len(shape.tables) * width
    tables = tuple(
        EmbeddingBag(f"table {number}", entries, width, shape.lookups)
        for number, entries in enumerate(shape.tables, start=1)
    )
    elements = beside + shape.bottom[0]
    layers = [
        Layer(
            "tables",
            tables,
            elements,
            role="embedding",
            reads={each.name: (carried(n),) for n, each in enumerate(tables, start=1)},
            takes=len(tables),
            leaves=tuple(each.name for each in tables),
            puts_out=INPUT,
        ),
        *_perceptron("bottom", shape.bottom, beside, needs_input_gradient=False),
    ]
    vectors = len(shape.tables) + 1
    interaction = _interaction(vectors, width)
    layers.append(interaction)
    top = (interaction.output_elements, *shape.top)
    layers += _perceptron("top", top, 0, needs_input_gradient=True)
    return Model(name, tuple(layers), 1, family="recommendation")


def _perceptron(
    name: str, widths: Sequence[int], beside: int, *, needs_input_gradient: bool
) -> list[Layer]:
    """Return matrices with a ReLU each, or the loss behind a single output.

    Args:
        name: of the layers.
        widths: features of the input and behind every matrix [1].
        beside: elements a sample that pass by [1].
        needs_input_gradient: of the first matrix.
    """
    layers: list[Layer] = []
    for number, (inner, columns) in enumerate(pairwise(widths), start=1):
        linear = Linear(
            "linear",
            1,
            inner,
            columns,
            needs_input_gradient=needs_input_gradient or number > 1,
        )
        after = _click() if columns == 1 else _relu(columns)
        operators: tuple[Operator, ...] = (linear, after)
        layers.append(Layer(f"{name} {number}", operators, columns + beside))
    return layers


def _relu(elements: int) -> Elementwise:
    """Return a ReLU; its output is kept as the next layer's input."""
    relu = Activation("relu")
    return Elementwise("relu", 4.0 * elements, 6.0 * elements, function=relu)


def _click() -> Elementwise:
    """Return sigmoid and binary cross-entropy of one number, in two kernels each way.

    Each reads one and writes one number forward, and reads two and writes one backward.
    """
    return Elementwise(
        "click",
        8.0,
        12.0,
        kept_bytes=4.0,
        launches=(2, 2),
        function=Loss("binary cross entropy"),
    )


def _interaction(vectors: int, width: int) -> Layer:
    """Return the products of all pairs of vectors, beside the dense one.

    Vectors are copied side by side (which the product keeps), multiplied with
    themselves, and the products below the diagonal are picked and put behind the dense
    vector. Backward scatters them into zeros, multiplies twice, and adds both products
    and the dense vector's own gradient.
    """
    elements = vectors * width
    pairs = vectors * (vectors - 1) // 2
    square = vectors * vectors
    outputs = pairs + width
    product = BatchedProduct(
        "pairs",
        vectors,
        vectors,
        width,
        batch=1,
        saved_elements=elements,
        split=Split.NONE,
    )
    copied = Elementwise(
        "vectors", 4.0 * elements, 6.0 * (elements + width), function=Stack()
    )
    picked = Elementwise(
        "picked",
        forward_bytes=2.0 * (2 * pairs + 2 * outputs),
        backward_bytes=2.0 * (square + 2 * pairs),
        launches=(2, 2),
        function=Pairs(),
    )
    looked_up = tuple(carried(number) for number in range(1, vectors))
    return Layer(
        "interaction",
        (copied, product, picked),
        outputs,
        reads={"vectors": (INPUT, *looked_up), "picked": (PREVIOUS, INPUT)},
        takes=len(looked_up),
    )


def dense_features(model: Model) -> int:
    """Return the dense features of a sample of a recommendation model [1]."""
    linear = next(
        operator
        for layer in model.layers
        for operator in layer.operators
        if isinstance(operator, Linear)
    )
    return linear.inner
