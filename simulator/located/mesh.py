"""Which devices take part in a message: the mesh's coordinates written out.

Devices are numbered as ranks are: tensor-innermost, then data, then pipeline
(Megatron's order of 2021), filling the nodes in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from simulator.workload import Message, Role

Group = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Mesh:
    """The lengths of the mesh axes, and where its first rank sits.

    Fields:
        tensor, data, pipeline: ranks of each axis [1].
        first: device of rank 0; another job may have those before it.
    """

    tensor: int
    data: int
    pipeline: int
    first: int = 0

    def device(self, pipeline: int, data: int, tensor: int) -> int:
        """Return the device of a rank."""
        rank = (pipeline * self.data + data) * self.tensor + tensor
        return self.first + rank

    def groups(self, message: Message, roles: Sequence[Role]) -> list[Group]:
        """Return the groups that send a message at once, devices in rank order.

        Args:
            message: collective or transfer.
            roles: that start it; one that stands for many ranks stands for the
                groups of all of them.
        """
        role = roles[0]
        is_folded = role.multiplicity > 1
        replicas = range(self.data) if is_folded else (role.data,)
        shards = range(self.tensor) if is_folded else (role.tensor,)
        every_data, every_tensor = range(self.data), range(self.tensor)
        if message.axis == "tensor":
            return [
                tuple(self.device(role.pipeline, d, t) for t in every_tensor)
                for d in replicas
            ]
        if message.axis == "data":
            return [
                tuple(self.device(role.pipeline, d, t) for d in every_data)
                for t in shards
            ]
        if message.axis == "model":
            stages = range(self.pipeline)
            return [
                tuple(self.device(p, d, t) for p, t in product(stages, every_tensor))
                for d in replicas
            ]
        ends = message.pair if message.axis == "pipeline" else (0, self.pipeline - 1)
        return [
            tuple(self.device(p, d, t) for p in ends)
            for d, t in product(replicas, shards)
        ]
