"""The loss of a classifier that puts out a row of logits a sample, or one a token."""

from __future__ import annotations

from models.functions import Loss
from models.operators import Elementwise


def cross_entropy(name: str, classes: int, rows: int = 1) -> Elementwise:
    """Return softmax and cross-entropy in fp32 over a sample's classes.

    Forward casts (reads 2, writes 4 bytes a class) and takes the log-softmax (reads and
    writes 4). Backward scatters one number into zeros (4), reads it and the
    log-softmax, writes the gradient (12) and casts it back (6). Keeps the log-softmax.

    Args:
        name: of the operator.
        classes: in a row of logits [1].
        rows: of logits a sample, such as tokens [1].
    """
    logits = rows * classes
    return Elementwise(
        name,
        forward_bytes=14.0 * logits,
        backward_bytes=22.0 * logits,
        kept_bytes=4.0 * logits,
        launches=(3, 3),
        scales=False,
        function=Loss("cross entropy"),
    )
