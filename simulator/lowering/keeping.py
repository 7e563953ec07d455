"""Recomputation operator by operator: which results a block keeps, and what it repeats.

As torchtitan's selective policy `op` does it: kept are the block's input, the results
of the first, third, fifth, ... matrix product by weights, and those of attention in one
kernel; of rows that tensor ranks sum and scatter, the sum as well. The rest is computed
again, up to the last operator whose input the backward needs. Products that are one
here but several in torch (queries, keys, values; gate and up) count one by one.

For a Llama block of h features, f inner ones and g of grouped keys, without tensor
parallelism, kept are elements of h (input), h (queries), g (values), h (attention), f
(gate) and h (down) a token, and a statistic a head. The last h no backward reads; a
compiler that sees the whole block drops it.

Limits: experts' grouped products are not among those that are kept. After a layer's
last weights nothing is computed again: right for sums and dropout, too little for
activations and pooling after a convolution (AlexNet's would be free).

Source: torchtitan, `parallelisms/parallelize_llama.py`, December 2024 (`_save_list`,
`_get_custom_policy`); that it stops early, torch's checkpoint, from memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from models.flash_attention import FlashAttention
from models.model import Layer
from models.operators import Linear, Operator, Split
from models.work import Share
from simulator.costs.elementwise import is_any_above_one
from simulator.lowering.experts import loaded
from topologies.units import Bytes

BY_OPERATORS = frozenset({"operators", "compiled-operators"})
"""Kinds of recomputation that choose among operators."""


class _Step(NamedTuple):
    """An operator, one matrix of it, and whether its result is kept."""

    operator: Operator
    share: Share
    is_kept: bool


def kept_by_operators(layer: Layer, share: Share, recompute: str) -> Bytes:
    """Return what a block keeps from forward to backward [B]."""
    elements = layer.output_elements / share.sequence
    kept = share.element * share.samples * elements
    steps = list(_steps(layer, share))
    if recompute == "compiled-operators":
        steps = steps[: _last_needing(steps)]
    for operator, own, is_kept in steps:
        if isinstance(operator, Linear):
            kept = kept + _of_product(operator, own, is_kept=is_kept)
        elif isinstance(operator, FlashAttention):
            width = operator.value_width or operator.width
            rows = operator.heads * operator.tokens * width / own.tensor
            kept = kept + own.element * own.samples * rows + operator.saved_bytes(own)
    return kept


def repeated_operators(layer: Layer, share: Share) -> Iterator[tuple[Operator, Share]]:
    """Yield what the backward of a block computes again, in forward order."""
    steps = list(_steps(layer, share))
    for step in steps[: _last_needing(steps)]:
        if not step.is_kept:
            yield step.operator, step.share


def _last_needing(steps: list[_Step]) -> int:
    """Return the place of the last operator with weights, whose input is needed."""
    places = (place for place, step in enumerate(steps) if step.operator.parameters)
    return max(places, default=0)


def _steps(layer: Layer, share: Share) -> Iterator[_Step]:
    count = 0
    for operator, own in loaded(layer, share):
        if not isinstance(operator, Linear):
            yield _Step(operator, own, isinstance(operator, FlashAttention))
            continue
        for columns in operator.parts or (operator.columns,):
            count += 1
            part = replace(operator, columns=columns, parts=())
            yield _Step(part, own, count % 2 == 1)


def _of_product(operator: Linear, share: Share, *, is_kept: bool) -> Bytes:
    """Return what is kept of a product's result [B]."""
    columns = operator.columns / (share.tensor if operator.split is Split.COLUMN else 1)
    rows = operator.rows / (share.sequence if operator.split is Split.NONE else 1)
    whole = share.element * share.samples * rows * columns
    kept = whole if is_kept else 0.0
    if operator.split is Split.ROW and is_any_above_one(share.sequence):
        return kept + whole / share.sequence
    return kept
