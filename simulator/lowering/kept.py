"""What a layer keeps of a micro-batch between its passes, on one device.

=================  ==========================================================
from F to B or I   what backward needs and recomputation does not make again
from I to W        of operators with weights: inputs, and gradients of outputs
=================  ==========================================================

For a GPT block without tensor parallelism the second is 32 s b h bytes of 16-bit
activations: inputs of (2 + 2 + 2 + 8) and gradients of (6 + 2 + 8 + 2).

Limits: of operators with weights other than products, the gradients are not counted.

Source: Korthikanti et al., arXiv:2205.05198, section 4; the split, Qi et al.,
arXiv:2401.10241, table 1.
"""

from __future__ import annotations

from models.mixture import ExpertLinear
from models.model import Layer
from models.operators import Linear, Operator, Split
from models.work import Share
from simulator.lowering.experts import loaded
from simulator.lowering.keeping import BY_OPERATORS, kept_by_operators
from simulator.lowering.layer_shares import input_bytes
from topologies.units import Bytes


def kept_bytes(layer: Layer, share: Share, recompute: str) -> Bytes:
    """Return what a layer keeps from forward to backward, per micro-batch [B].

    Under full recomputation a block keeps its input only, and of whole samples that
    it gathered its own part. What it passes by is kept where it was made, once.
    """
    if layer.role == "block" and recompute == "full":
        own = 1 - layer.passed_by / layer.output_elements
        return own * input_bytes(layer, share) / share.gathered
    if layer.role == "block" and recompute in BY_OPERATORS:
        return kept_by_operators(layer, share, recompute)
    is_dropping = layer.role == "block" and recompute == "selective"
    return sum(
        operator.saved_bytes(own)
        for operator, own in loaded(layer, share)
        if not (is_dropping and operator.is_core_attention)
    )


def kept_for_weights(layer: Layer, share: Share) -> Bytes:
    """Return what a layer keeps from its I to its W, per micro-batch [B]."""
    return sum(
        _needed_by_weights(operator, own)
        for operator, own in loaded(layer, share)
        if operator.backward_weight(own)
    )


def _needed_by_weights(operator: Operator, share: Share) -> Bytes:
    """Return the bytes of an operator's input and of its output's gradient.

    What sequence parallelism divides was gathered for I, and stays whole.
    """
    if isinstance(operator, ExpertLinear):
        return operator.kept_for_weight(share)
    if not isinstance(operator, Linear):
        return operator.saved_bytes(share)
    rows: float = operator.rows
    inner = operator.inner / (share.tensor if operator.split is Split.ROW else 1)
    columns = operator.columns / (share.tensor if operator.split is Split.COLUMN else 1)
    if operator.split is Split.NONE:
        rows = rows / share.sequence
    return share.element * share.samples * rows * (inner + columns)
