"""How a layer's passes go, where a plan has a choice."""

from __future__ import annotations

from typing import NamedTuple

from simulator.lowering.context import ContextWay


class Ways(NamedTuple):
    """How the messages of a layer are sent, and what its backward repeats.

    Fields:
        is_overlapped: whether column-split layers send beside their gradient
            products, as Megatron-LM does since 2022.
        context: how attention meets the keys of other devices.
        is_async: whether products run chunk by chunk beside the collectives of the
            sequence that they need or feed (`decomposed`); of a column-split layer's
            backward, each collective has the other gradient's product beside it.
        is_torch: whether torch's DTensor decides what is sent, and not Megatron-LM.
        stops: whether recomputation stops where nothing more is read (`stopping`).
    """

    is_overlapped: bool = False
    context: ContextWay = ContextWay()
    is_async: bool = False
    is_torch: bool = False
    stops: bool = False

    @property
    def is_beside(self) -> bool:
        """Whether collectives run beside products that do not need them."""
        return (self.is_overlapped or self.is_async) and not self.is_torch


PLAIN = Ways()
