"""The mesh: which ranks take part in what.

Ranks are numbered tensor-innermost, then context, then data, then pipeline
(Megatron-Core's order). The ranks of one pipeline stage are its plane; every group
inside a plane is a `Span`, so that one rule says who its members are:

=============  ==============  ============  ========================================
axis           ranks           stride        what its group does together
=============  ==============  ============  ========================================
tensor         t               1             divides matrices
context        c               t             divides the tokens of a sample
expert         e               t             divides the experts
expert-inside  g               t             passes tokens on to experts
expert-across  e / g           t · g         sends tokens to those who pass them on
data           d · c           t             holds the same dense parameters
expert-data    d · c / e       t · e         holds the same experts
shard          s               t             divides states (ZeRO, FSDP)
replicate      d · c / s       t · s         holds the same part of them
stage          t · c · d       1             agrees on scales of numbers
=============  ==============  ============  ========================================

Across planes, `pipeline` joins two stages, `embedding` the first and the last, and
`model` all tensor ranks of all stages.

Where experts are whole, their ranks are e · t in a row: the strides of `expert` and
`expert-inside` are 1, that of `expert-across` is g.

Degrees may be NumPy arrays, one entry per plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from simulator.workload import Axis, Role
from topologies.units import Count


class Span(NamedTuple):
    """Ranks that take part in something, evenly spaced within a plane.

    Fields:
        ranks: of the group [1].
        stride: from one rank to the next [1].
    """

    ranks: Count
    stride: Count


@dataclass(frozen=True, slots=True)
class Degrees:
    """How many ranks each axis of the mesh has [1].

    Fields:
        tensor, data, pipeline, context: lengths of the axes.
        expert: e, neighbours among data x context ranks that divide the experts.
        has_whole_experts: whether the tensor ranks of these divide experts too, instead
            of each expert.
        shard: s, those that divide states; 0 stands for all of them.
        neighbours: g, of the expert ranks, to whom a token is sent once.
    """

    tensor: Count
    data: Count
    pipeline: Count
    context: Count = 1
    expert: Count = 1
    shard: Count = 0
    neighbours: Count = 1
    has_whole_experts: bool = False

    @property
    def replicas(self) -> Count:
        """Ranks that hold the same dense parameters, d · c [1]."""
        return self.data * self.context

    @property
    def plane(self) -> Count:
        """Ranks of one pipeline stage, t · c · d [1]."""
        return self.tensor * self.replicas

    def place(self, role: Role) -> int:
        """Return the place of a rank in its stage's plane, from 0."""
        replica = role.data * self.context + role.context
        return int(replica * self.tensor + role.tensor)

    def roles(self, pipeline: int) -> list[Role]:
        """Return all ranks of one stage, in order."""
        data, context, tensor = map(int, (self.data, self.context, self.tensor))
        return [
            Role(d, pipeline, t, 1, c)
            for d, c, t in product(range(data), range(context), range(tensor))
        ]

    def span(self, axis: Axis) -> Span:
        """Return how the groups of an axis lie in a plane.

        A group of an axis that joins planes has one rank of each, or, for `model`,
        the tensor ranks.
        """
        tensor, replicas = self.tensor, self.replicas
        shard = self.shard or replicas
        apart = 1 if self.has_whole_experts else tensor
        experts = self.expert * (tensor // apart)
        spans: dict[Axis, Span] = {
            "tensor": Span(tensor, 1),
            "model": Span(tensor, 1),
            "context": Span(self.context, tensor),
            "expert": Span(experts, apart),
            "expert-inside": Span(self.neighbours, apart),
            "expert-across": Span(experts // self.neighbours, apart * self.neighbours),
            "data": Span(replicas, tensor),
            "expert-data": Span(replicas // self.expert, tensor * self.expert),
            "shard": Span(shard, tensor),
            "replicate": Span(replicas // shard, tensor * shard),
            "stage": Span(self.plane, 1),
        }
        return spans.get(axis, Span(1, 1))


def members(span: Span, plane: int) -> list[tuple[int, ...]]:
    """Return the ranks of all groups in a plane.

    >>> members(Span(2, 3), 6)
    [(0, 3), (1, 4), (2, 5)]

    Args:
        span: of one group.
        plane: ranks [1].
    """
    count, stride = int(span.ranks), int(span.stride)
    return [
        tuple(range(first, first + count * stride, stride))
        for first in range(plane)
        if first // stride % count == 0
    ]


def group_of(span: Span, rank: int) -> tuple[int, ...]:
    """Return the group that a rank of a plane is in.

    >>> group_of(Span(2, 3), 4)
    (1, 4)
    """
    count, stride = int(span.ranks), int(span.stride)
    first = rank - rank // stride % count * stride
    return tuple(range(first, first + count * stride, stride))
