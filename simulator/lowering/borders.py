"""What tensor ranks send each other where they divide the places of a grid.

A rank's windows read places that its neighbours hold: forward these arrive, backward
the gradients that belong to them are sent back and added. Every rank sends all of its
own at once, as through one distributed array.

Limits: the sample itself is loaded where it is read, so that the first layer receives
nothing and, as it has no gradient of its input, sends nothing back.

Source: Dean et al., Large Scale Distributed Deep Networks, NIPS 2012, figure 1, and
    Coates et al., Deep learning with COTS HPC systems, ICML 2013, section 4 (both from
    memory): models divided by neurons, with messages where connections cross.
"""

from __future__ import annotations

from models.operators import Elementwise, LocallyConnected, Operator, Split
from models.work import Share
from simulator.workload import Message, Transfer


def border(operator: Operator, share: Share) -> Message | None:
    """Return the exchange before an operator's forward pass; None without one."""
    if operator.split is not Split.PLACES or share.tensor == 1:
        return None
    if not isinstance(operator, LocallyConnected | Elementwise):
        return None
    if isinstance(operator, LocallyConnected) and not operator.needs_input_gradient:
        return None
    sliding = operator.sliding
    if sliding is None:
        return None
    number = share.element * share.samples
    sends = tuple(
        Transfer(owner, reader, number * elements)
        for owner, reader, elements in sliding.borrowed(int(share.tensor))
    )
    return _exchange(f"{operator.name} border", sends)


def gradient_border(operator: Operator, share: Share) -> Message | None:
    """Return the exchange after the gradient of an operator's input; None without."""
    forward = border(operator, share)
    if forward is None:
        return None
    sends = tuple(Transfer(to, source, size) for source, to, size in forward.sends)
    return _exchange(f"{operator.name} gradient border", sends)


def _exchange(name: str, sends: tuple[Transfer, ...]) -> Message:
    total = sum(send.size for send in sends)
    return Message(name, "neighbour-exchange", "tensor", total, sends=sends)
