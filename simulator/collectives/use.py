"""Which algorithm and protocol does a collective run?"""

from __future__ import annotations

from typing import NamedTuple

from simulator.workload import Axis, Pattern
from topologies.units import Bytes, format_quantity


class Collective(NamedTuple):
    """One kind of collective, and how it is run.

    Fields:
        op: what it does.
        axis: of the mesh, whose group takes part.
        bytes: in NCCL's convention [B].
        ranks: that take part [1].
        algorithm: name in the table of collectives; empty where it is left open.
        protocol: of the links.
    """

    op: Pattern
    axis: Axis
    bytes: Bytes
    ranks: int
    algorithm: str = ""
    protocol: str = ""

    @property
    def opened(self) -> Collective:
        """The same with the algorithm left open."""
        return self._replace(algorithm="", protocol="")

    @property
    def described(self) -> str:
        """Such as `all-reduce of 25 MB over 16 ranks (data)`."""
        size = format_quantity(self.bytes, "B")
        return f"{self.op} of {size} over {self.ranks} ranks ({self.axis})"
