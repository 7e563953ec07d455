"""The element-wise operators of a transformer: bytes moved and kept, piece by piece.

Bytes are stated at two bytes an element and a sample, reads and writes of one fused
kernel each.
"""

from __future__ import annotations

from models.functions import (
    Activation,
    Addition,
    Dropout,
    Function,
    Gate,
    Normalisation,
)
from models.kernel_bytes import GATE, LAYER_NORM, RESIDUAL, RMS_NORM, Moved
from models.operators import Elementwise, Split
from models.softmax import scores_kind
from models.transformer_shape import Kernels, TransformerShape


def norm(name: str, shape: TransformerShape, *, is_cast: bool = True) -> Elementwise:
    """Return a layer norm or an RMS norm of the residual stream.

    Args:
        name: of the operator.
        shape: of the transformer.
        is_cast: whether only products read it, whose format writers may write.
    """
    elements = shape.sequence_length * shape.hidden
    gains = 1 if shape.traits.norm == "rms" else 2
    function = Normalisation(shape.traits.norm, shape.hidden)
    table = RMS_NORM if shape.traits.norm == "rms" else LAYER_NORM
    moved = table[shape.kernels]
    return norm_of(
        name,
        elements,
        gains * shape.hidden,
        function,
        moved=moved,
        cast_elements=elements if is_cast else 0,
    )


def norm_of(  # noqa: PLR0913 - what a normalisation is, whose kernels do it
    name: str,
    elements: int,
    parameters: int,
    function: Function,
    split: Split = Split.NONE,
    *,
    moved: Moved = LAYER_NORM["library"],
    cast_elements: int = 0,
) -> Elementwise:
    """Return a normalisation.

    Args:
        name: of the operator.
        elements: a sample [1].
        parameters: of gain and bias [1].
        function: which normalisation.
        split: how tensor parallelism divides the elements.
        moved: bytes an element.
        cast_elements: that writers may write in the format of products [1].
    """
    return Elementwise(
        name,
        forward_bytes=moved.forward * elements,
        backward_bytes=moved.backward * elements,
        kept_bytes=moved.kept * elements,
        parameters=parameters,
        split=split,
        launches=moved.launches,
        cast_elements=cast_elements,
        function=function,
    )


def activation(name: str, elements: int, split: Split) -> Elementwise:
    """Return a GELU: reads and writes once; keeps the input, which backward reads."""
    return Elementwise(
        name,
        forward_bytes=4.0 * elements,
        backward_bytes=6.0 * elements,
        kept_bytes=2.0 * elements,
        split=split,
        cast_elements=elements,
        function=Activation("gelu"),
    )


def gate(name: str, rows: int, width: int, kernels: Kernels = "library") -> Elementwise:
    """Return silu(gate) * up, over the features that a column split divides.

    Args:
        name: of the operator.
        rows: a sample, such as tokens [1].
        width: features that it puts out [1].
        kernels: whose.
    """
    elements, moved = rows * width, GATE[kernels]
    return Elementwise(
        name,
        forward_bytes=moved.forward * elements,
        backward_bytes=moved.backward * elements,
        kept_bytes=moved.kept * elements,
        split=Split.INNER,
        launches=moved.launches,
        cast_elements=elements,
        function=Gate(width),
    )


def dropout(
    name: str, elements: int, split: Split, *, scores_row: int = 0
) -> Elementwise:
    """Return a dropout: reads and writes once; keeps a mask of one byte an element.

    Inside attention Megatron forks the random state, which the host pays like another
    kernel.

    Args:
        name: of the operator.
        elements: a sample [1].
        split: how tensor parallelism divides them.
        scores_row: length of a row of attention scores; 0 outside attention [1].
    """
    return Elementwise(
        name,
        forward_bytes=4.0 * elements,
        backward_bytes=4.0 * elements,
        mask_bytes=1.0 * elements,
        split=split,
        launches=(2, 1) if scores_row else (1, 1),
        is_core_attention=scores_row > 0,
        kind=scores_kind(scores_row),
        function=Dropout(),
    )


def residual(name: str, shape: TransformerShape) -> Elementwise:
    """Return bias + dropout + residual addition, fused; without dropout it only adds.

    Forward reads two and writes one, and the mask. Backward applies the mask (reads
    and writes once) and adds the gradients of the two branches (reads two, writes
    one).
    """
    elements = shape.sequence_length * shape.hidden
    if not shape.traits.has_dropout:
        moved = RESIDUAL[shape.kernels]
        return Elementwise(
            name,
            forward_bytes=moved.forward * elements,
            backward_bytes=moved.backward * elements,
            function=Addition(),
        )
    return Elementwise(
        name,
        forward_bytes=6.0 * elements,
        backward_bytes=10.0 * elements,
        mask_bytes=1.0 * elements,
        launches=(1, 2),
        function=Addition(has_dropout=True),
    )
