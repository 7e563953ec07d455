"""Bytes that element-wise work moves, by whose kernels do it.

An operation is one kernel or several. A training library such as Megatron-LM writes a
kernel for each operation of a transformer; PyTorch by itself has one for each of its
own operations, through fp32 where an operation says so; torch.compile joins neighbours;
Transformer Engine joins more, and its loss overwrites the logits with their gradient.

Counted from the sources of torch.nn.functional.rms_norm and cross_entropy, torchtitan's
rotary embedding, and Transformer Engine's cross-entropy, all from memory: reads and
writes of every operation at its own width.

Limits: what torch.compile joins depends on its version; complex numbers, in which
torchtitan rotates, it leaves to PyTorch.
"""

from __future__ import annotations

from typing import NamedTuple

from models.transformer_shape import Kernels


class Moved(NamedTuple):
    """Per element, at two bytes an element.

    Fields:
        forward, backward: bytes read and written [B].
        kept: from forward to backward [B].
        launches: kernels forward and backward [1].
    """

    forward: float
    backward: float
    kept: float
    launches: tuple[int, int]


# Reads and writes once; backward reads input and gradient and writes one, then reads
# both again for the gains.
_NORM = Moved(4.0, 10.0, 2.0, (1, 2))
# To fp32 (6), square (8), mean (4), times its root (8), times gains (8), back (6). In
# reverse each of those with both its operands, and the sums for the gains.
_RMS_APART = Moved(40.0, 84.0, 12.0, (8, 14))

RMS_NORM: dict[Kernels, Moved] = {
    "library": _NORM,
    "engine": _NORM,
    "compiled": _NORM,
    "eager": _RMS_APART,
}
LAYER_NORM: dict[Kernels, Moved] = dict.fromkeys(RMS_NORM, _NORM)

# Reads both branches and writes one; backward reads both and the gradient and writes
# two. Apart, silu reads and writes once more each way.
GATE: dict[Kernels, Moved] = {
    "library": Moved(6.0, 10.0, 4.0, (2, 4)),
    "engine": Moved(6.0, 10.0, 4.0, (1, 1)),
    "compiled": Moved(6.0, 10.0, 4.0, (1, 1)),
    "eager": Moved(10.0, 18.0, 6.0, (2, 4)),
}

# Reads two and writes one; backward adds the gradients of two branches. Joined with the
# norm after it, the sum is not read again, nor is the norm's gradient.
RESIDUAL: dict[Kernels, Moved] = {
    "library": Moved(6.0, 6.0, 0.0, (1, 1)),
    "engine": Moved(6.0, 6.0, 0.0, (1, 1)),
    "compiled": Moved(4.0, 2.0, 0.0, (1, 1)),
    "eager": Moved(6.0, 6.0, 0.0, (1, 1)),
}

# Library: to fp32 (6), maximum (4), subtract it (8), exponentials (8), their sum (4),
# divide (8), and ten kernels over single columns; backward scales (8) and goes back to
# two bytes (6); the fp32 probabilities are kept. Eager: to fp32 (6), logarithm of the
# softmax in three passes (12); backward clears (4), reads both twice and writes (16),
# and goes back (6). At its fullest there are the logits (2), their logarithms (4), the
# gradient of these (4) and that of the logits in fp32 (4), of which two bytes count as
# working memory; torch.compile is not asked to join it, as in torchtitan of 2024.
# Engine, or fused: a pass for the sums and one that writes the gradient in their place.
LOSS: dict[Kernels, Moved] = {
    "library": Moved(38.0, 14.0, 4.0, (16, 6)),
    "engine": Moved(6.0, 0.0, 2.0, (4, 0)),
    "compiled": Moved(18.0, 26.0, 12.0, (6, 6)),
    "eager": Moved(18.0, 26.0, 12.0, (6, 6)),
}

ROTATION_APART: float = 20.0
"""To fp32 (6), times a complex number (8), back (6), an element of query or key."""
ROTATION: float = 4.0
"""In one kernel: reads and writes once."""
