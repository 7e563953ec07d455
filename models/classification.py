"""The loss of a classifier that puts out one row of logits a sample."""

from __future__ import annotations

from models.operators import Elementwise


def cross_entropy(name: str, classes: int) -> Elementwise:
    """Return softmax and cross-entropy in fp32 over a sample's classes.

    Forward casts (reads 2, writes 4 bytes a class) and takes the log-softmax (reads and
    writes 4). Backward scatters one number into zeros (4), reads it and the
    log-softmax, writes the gradient (12) and casts it back (6). Keeps the log-softmax.
    """
    return Elementwise(
        name,
        forward_bytes=14.0 * classes,
        backward_bytes=22.0 * classes,
        kept_bytes=4.0 * classes,
        launches=(3, 3),
        scales=False,
    )
