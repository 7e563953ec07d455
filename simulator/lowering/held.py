"""Parameters that a device holds, apart by what replicas divide of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from topologies.units import Count


class Held(NamedTuple):
    """Parameters on one tensor rank [1].

    Fields:
        parameters: all.
        experts: those among them that not all replicas hold.
    """

    parameters: Count = 0.0
    experts: Count = 0.0

    def plus(self, other: Held) -> Held:
        """Return both together."""
        return Held(self.parameters + other.parameters, self.experts + other.experts)


def added(amounts: Iterable[tuple[int, Held]]) -> dict[int, Held]:
    """Return the sums of parameters that go under the same stage of ZeRO."""
    total: dict[int, Held] = {}
    for zero, each in amounts:
        total[zero] = total.get(zero, Held()).plus(each)
    return total
