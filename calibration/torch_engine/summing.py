"""Sums of gradients between ranks: beside the passes where DDP has none, and behind."""

from __future__ import annotations

from collections.abc import Callable

from calibration.torch_engine.building import FORMATS, Local
from calibration.torch_engine.groups import Groups, has_copies
from calibration.torch_engine.splits.buckets import Buckets, in_buckets
from calibration.torch_engine.splits.carried import Carriage
from calibration.torch_engine.splits.ending import sum_copies, sum_gradients
from calibration.torch_engine.splits.replicas import Copies
from simulator.lowering.schedules.table import DESIGNS
from simulator.lowering.sharding.broadcasts import has_owners
from simulator.plan import Plan


def has_parts(plan: Plan) -> bool:
    """Return whether replicas divide the gradients."""
    mesh = plan.parallelism
    return mesh.replicas > 1 and mesh.zero > 0 and not has_owners(plan)


class Sums:
    """What sums the gradients of one rank with those of others."""

    def __init__(
        self,
        plan: Plan,
        groups: Groups,
        local: Local,
        carriage: Carriage | None,
    ) -> None:
        """Prepare them.

        Args:
            plan: that runs.
            groups: of this rank.
            local: its part of the model.
            carriage: of sums over replicas that the plan spells out; None without.
        """
        self.plan, self.groups, self.local = plan, groups, local
        self.carriage, self.parameters = carriage, local.parameters()
        self.dtype = FORMATS[plan.training.gradient_precision]
        self.has_parts = has_parts(plan)
        self.buckets = self._make_buckets()

    def launches(self) -> dict[int, Callable[[], None]]:
        """Return what begins the sums of each stage when its gradients are there.

        A table of two stages of this rank has its own only at the end of all.
        """
        stages = [{id(p) for p in each.part.parameters()} for each in self.local.stages]
        if sum(map(len, stages)) > len(set().union(*stages)):
            return {}
        return {number: each.launch for number, each in self.buckets.items()}

    def finish(self) -> None:
        """End the sums that began, and do those that are left."""
        mesh = self.plan.parallelism
        is_late = not self.plan.synchronization.overlap and not self.has_parts
        if mesh.replicas > 1 and is_late:
            own = set(map(id, self.local.experts))
            if self.local.neurons is not None:
                own |= set(map(id, self.local.neurons.parameters()))
            dense = [each for each in self.parameters.values() if id(each) not in own]
            sum_gradients(dense, self._copies, self.dtype, mesh.replicas)
        for layer in self.local.undivided:
            sum_gradients(layer, self._copies, self.dtype, mesh.replicas)
        for buckets in self.buckets.values():
            buckets.land()
        if self.local.experts and not self.has_parts:
            self._sum_experts()
        if has_copies(mesh):
            pair = Copies(self.groups.group("copies"))
            sum_gradients(self.parameters.values(), pair, self.dtype)
        if self.local.table is not None:
            table = self.parameters[self.local.table]
            sum_copies(table, self.groups.group("embedding"))

    @property
    def _copies(self) -> Copies:
        """The ranks with the same dense parameters, and what sums between them."""
        return Copies(self.groups.group("data"), self.carriage)

    def _make_buckets(self) -> dict[int, Buckets]:
        """Return what sums the gradients of each stage, where DDP does not.

        DDP learns of no gradient that a second part of a backward pass makes.
        """
        plan, mesh = self.plan, self.plan.parallelism
        is_late = self.has_parts or not plan.synchronization.overlap
        if mesh.replicas == 1 or is_late or not DESIGNS[mesh.schedule].has_parts:
            return {}
        left = set(map(id, self.local.experts))
        found = {}
        for stage in self.local.stages:
            found[stage.number] = Buckets(
                in_buckets(stage.part, plan.synchronization.bucket, left),
                self._copies,
                self.dtype,
            )
            left |= set(map(id, stage.part.parameters()))
        return found

    def _sum_experts(self) -> None:
        """Average gradients of experts, those of a stage apart where sums overlap."""
        mesh, experts = self.plan.parallelism, self.local.experts
        copies = None
        if mesh.replicas > mesh.expert:
            copies = Copies(self.groups.group("expert-data"))
        of_stages = [experts]
        if self.plan.synchronization.overlap:
            stages = [
                set(map(id, each.part.parameters())) for each in self.local.stages
            ]
            of_stages = [
                [each for each in experts if id(each) in own] for own in stages
            ]
        for own in filter(None, of_stages):
            sum_gradients(own, copies, self.dtype, mesh.replicas)
