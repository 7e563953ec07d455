"""Which devices take part in a message: the mesh's coordinates written out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from simulator.mesh import Degrees, group_of, members
from simulator.workload import Message, Role

Group = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Mesh:
    """The lengths of the mesh axes, and where its first rank sits.

    Fields:
        degrees: ranks of each axis [1].
        first: device of rank 0; another job may have those before it.
    """

    degrees: Degrees
    first: int = 0

    def device(self, pipeline: int, place: int) -> int:
        """Return the device of a rank, given by its place in its stage's plane."""
        return self.first + pipeline * int(self.degrees.plane) + place

    def groups(self, message: Message, roles: Sequence[Role]) -> list[Group]:
        """Return the groups that send a message at once, devices in rank order.

        Args:
            message: collective or transfer.
            roles: that start it; one that stands for many ranks stands for the
                groups of all of them.
        """
        role, span = roles[0], self.degrees.span(message.axis)
        if role.multiplicity > 1:
            groups = members(span, int(self.degrees.plane))
        else:
            groups = [group_of(span, self.degrees.place(role))]
        stages: Sequence[int] = (role.pipeline,)
        if message.axis == "model":
            stages = range(int(self.degrees.pipeline))
        elif message.axis == "embedding":
            stages = (0, int(self.degrees.pipeline) - 1)
        elif message.axis == "pipeline":
            stages = message.pair
        return [
            tuple(self.device(stage, place) for stage, place in product(stages, group))
            for group in groups
        ]
