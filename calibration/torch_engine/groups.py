"""The process groups of a plan's mesh, each known by the axis that it serves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh

from simulator.mesh import Degrees, members
from simulator.plans.records import ParallelismSection
from simulator.workload import Axis

Place = Axis | Literal["copies"]
"""An axis; or the pairs of ranks with the same two stages, beside the pipeline."""

ALWAYS: tuple[Place, ...] = (
    "tensor",
    "context",
    "data",
    "pipeline",
    "embedding",
    "model",
)


def has_copies(mesh: ParallelismSection) -> bool:
    """Return whether another rank has the same stages for other micro-batches."""
    return any(len(ranks) > 1 for ranks in mesh.placement)


def wanted_axes(mesh: ParallelismSection) -> tuple[Place, ...]:
    """Return the axes for which a plan needs groups."""
    divided: tuple[Axis, ...] = ("shard", "replicate")
    spread: tuple[Axis, ...] = ("expert", "expert-data")
    return (
        *ALWAYS,
        *(divided if mesh.zero > 0 else ()),
        *(spread if mesh.expert > 1 else ()),
        *(("copies",) if has_copies(mesh) else ()),
    )


@dataclass(slots=True)
class Groups:
    """Groups of this rank; all ranks make them together, and in the same order.

    Fields:
        degrees: lengths of the mesh axes.
        rank: this one's number.
        device: what DeviceMesh calls it.
        axes: of the groups made so far, by their names.
        carriers: names of groups whose sends are parts of larger messages.
    """

    degrees: Degrees
    rank: int
    device: str
    axes: dict[str, Axis] = field(default_factory=dict)
    carriers: set[str] = field(default_factory=set)
    _groups: dict[Place, dist.ProcessGroup] = field(default_factory=dict)
    _meshes: dict[Axis, DeviceMesh] = field(default_factory=dict)

    @property
    def plane(self) -> int:
        """Ranks of one pipeline stage [1]."""
        return int(self.degrees.plane)

    @property
    def pipeline(self) -> int:
        """This rank's stage, as a pipeline rank."""
        return self.rank // self.plane

    @property
    def tensor(self) -> int:
        """This rank's place among those that divide matrices."""
        return self.rank % int(self.degrees.tensor)

    @property
    def context(self) -> int:
        """This rank's place among those that divide tokens."""
        return self.rank // int(self.degrees.tensor) % int(self.degrees.context)

    @property
    def data(self) -> int:
        """This rank's replica."""
        replica = self.rank % self.plane // int(self.degrees.tensor)
        return replica // int(self.degrees.context)

    def ranks(self, axis: Place) -> tuple[int, ...]:
        """Return the ranks of this rank's group, itself among them."""
        return next(each for each in self._all(axis) if self.rank in each)

    def size(self, axis: Axis) -> int:
        """Return how many ranks this rank's group has [1]."""
        return len(self.ranks(axis))

    def make(self, wanted: Sequence[Place]) -> None:
        """Make the groups of axes, where one has more than one rank."""
        for axis in wanted:
            groups = list(self._all(axis))
            if max(map(len, groups)) == 1 and axis not in {"shard", "expert-data"}:
                continue  # but FSDP asks for the group that divides parameters
            for ranks in groups:
                made = dist.new_group(list(ranks))
                if self.rank in ranks:
                    self._groups[axis] = made
                    self.axes[made.group_name] = (
                        "pipeline" if axis == "copies" else axis
                    )

    def make_carrier(self) -> dist.ProcessGroup:
        """Return a group of all processes, for sends that carry out larger messages."""
        made = dist.new_group()
        assert made is not None, "every process is in it"
        self.carriers.add(made.group_name)
        return made

    def has(self, axis: Place) -> bool:
        """Return whether a group of an axis was made."""
        return axis in self._groups

    def group(self, axis: Place) -> dist.ProcessGroup:
        """Return this rank's group of an axis."""
        return self._groups[axis]

    def mesh(self, axis: Axis) -> DeviceMesh:
        """Return this rank's group of an axis as a device mesh."""
        if axis not in self._meshes:
            group, name = self.group(axis), (self._name(axis),)
            made = DeviceMesh.from_group(group, self.device, mesh_dim_names=name)
            self._meshes[axis] = made
        return self._meshes[axis]

    def mesh_of_shards(self) -> DeviceMesh:
        """Return the ranks that divide states, behind those with the same parts."""
        if "replicate" not in self._groups:
            return self.mesh("shard")
        replicate, shard = self.ranks("replicate"), self.ranks("shard")
        beside = [each - self.rank for each in shard]
        table = [[copy + step for step in beside] for copy in replicate]
        return DeviceMesh.from_group(
            [self.group("replicate"), self.group("shard")],
            self.device,
            mesh=torch.tensor(table),
            mesh_dim_names=(self._name("replicate"), self._name("shard")),
        )

    def _name(self, axis: Axis) -> str:
        """Return what a mesh calls an axis: another name for each group.

        Meshes of the same ranks with the same names are equal, and DTensor's caches
        would bring back that of an earlier task, whose groups are gone.
        """
        return f"{axis.replace('-', '_')}_{self.group(axis).group_name}"

    def _all(self, axis: Place) -> Iterator[tuple[int, ...]]:
        """Yield the groups of an axis; all ranks, those outside by themselves."""
        plane, last = self.plane, int(self.degrees.pipeline) - 1
        stages = range(last + 1)
        if axis == "pipeline":
            yield from (tuple(p * plane + i for p in stages) for i in range(plane))
        elif axis == "copies":
            half = range((last + 1) // 2)
            for p in half:
                yield from (
                    (p * plane + i, (last - p) * plane + i) for i in range(plane)
                )
        elif axis == "embedding":
            yield from ((i, last * plane + i) for i in range(plane * (last > 0)))
            yield from ((i,) for i in range(plane * (last > 0), max(last, 1) * plane))
        elif axis == "model":
            for group in members(self.degrees.span("tensor"), plane):
                yield tuple(p * plane + i for p in stages for i in group)
        else:
            for group in members(self.degrees.span(axis), plane):
                for p in stages:
                    yield tuple(p * plane + i for i in group)
