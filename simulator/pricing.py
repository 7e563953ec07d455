"""Pricing: a body's work on a cluster, as a `Price`. Both engines read prices here.

The way of a number: the plan's device, links and profile are gathered once in a
`Pricer`; every kernel and message of a body is priced by the formulas in
`simulator.costs`; prices compose in order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from models.work import Work
from simulator.costs.compute import matrix_time, memory_time
from simulator.costs.elementwise import where
from simulator.costs.messages import (
    ring_all_reduce_time,
    ring_gather_time,
    transfer_time,
    tree_all_reduce_time,
)
from simulator.placement import Degrees, Group, group
from simulator.price import NOTHING, Price, kernel, message
from simulator.workload import Beside, Body, HostTask, Item, Message, Phase, Repeat
from topologies.hardware import Cluster
from topologies.profile import Profile
from topologies.units import FlopPerSecond, Seconds


@dataclass(frozen=True, slots=True)
class Pricer:
    """Everything that turns work into seconds.

    Fields:
        cluster: devices, links and how many.
        profile: fitted constants of the device and its links.
        peak: dense rate of the plan's number format [FLOP/s].
        degrees: ranks of each mesh axis.
    """

    cluster: Cluster
    profile: Profile
    peak: FlopPerSecond
    degrees: Degrees
    _repeated: dict[tuple[int, Phase], tuple[tuple[Item, ...], Price]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def body(self, body: Body) -> Price:
        """Return the price of a body on one rank."""
        return self.items(body.items, body.phase)

    def items(self, items: Iterable[Item], phase: Phase) -> Price:
        """Return the price of items in a row."""
        total = NOTHING
        for item in items:
            total = total.then(self.item(item, phase))
        return total

    def item(self, item: Item, phase: Phase) -> Price:
        """Return the price of one kernel, message, host task or repetition."""
        if isinstance(item, Repeat):
            return self._once(item.items, item.phase or phase).repeat(item.count)
        if isinstance(item, Beside):
            works = self.items(item.works, phase)
            return self.item(item.message, phase).beside(works)
        if isinstance(item, Message):
            return message(self.message_time(item), self.message_host_time(item))
        if isinstance(item, HostTask):
            is_pass = item.kind == "pass"
            time = self.profile.host_pass if is_pass else self.profile.host_step
            return Price(0.0, time, time, 0.0, 0.0)
        return kernel(self.kernel_time(item), self.kernel_host_time(item, phase))

    def _once(self, items: tuple[Item, ...], phase: Phase) -> Price:
        """Return the price of items that recur, such as a block's in every stage.

        Remembered by identity; the items are kept with it, so that none can take the
        place of another.
        """
        key = (id(items), phase)
        if key not in self._repeated:
            self._repeated[key] = (items, self.items(items, phase))
        return self._repeated[key][1]

    def kernel_time(self, work: Work) -> Seconds:
        """Return the device time of a kernel, or of the several that `work` names."""
        device, profile = self.cluster.device, self.profile
        starting = work.launches * profile.kernel_time
        if work.kind not in {"matrix", "attention"}:
            efficiency = {
                "memory": profile.memory_efficiency,
                "scores": profile.scores_efficiency,
                "loss": profile.loss_efficiency,
            }[work.kind]
            return starting + memory_time(
                work.size, efficiency * device.memory_bandwidth
            )
        is_matrix = work.kind == "matrix"
        efficiency = (
            profile.matrix_efficiency if is_matrix else profile.attention_efficiency
        )
        return starting + matrix_time(
            work.rows,
            work.columns,
            work.inner,
            work.batch,
            size=work.size,
            num_units=max(device.num_units, 1),
            rate=efficiency * self.peak,
            bandwidth=profile.memory_efficiency * device.memory_bandwidth,
        )

    def kernel_host_time(self, work: Work, phase: Phase) -> Seconds:
        """Return the host time to issue a kernel: eager dispatch, by phase."""
        is_backward = phase == "backward"
        profile = self.profile
        per_launch = profile.host_backward if is_backward else profile.host_forward
        return work.launches * per_launch

    def message_host_time(self, item: Message) -> Seconds:
        """Return the host time to issue a message; a group of one issues none."""
        ring = self.group(item)
        return where(ring.num_ranks > 1, self.profile.host_message, 0.0)

    def message_time(self, item: Message) -> Seconds:
        """Return the time of a message on idle links; a group of one takes none."""
        ring = self.group(item)
        if item.pattern == "send":
            time = transfer_time(item.size, ring.transfer, ring.bandwidth)
        elif item.axis == "model":
            time = ring.start + tree_all_reduce_time(
                item.size, ring.num_ranks, ring.hop, ring.bandwidth
            )
        else:
            formula = (
                ring_all_reduce_time
                if item.pattern == "all-reduce"
                else ring_gather_time
            )
            steps = formula(item.size, ring.num_ranks, ring.hop, ring.bandwidth)
            time = ring.start + steps
        return where(ring.num_ranks > 1, time, 0.0)

    def group(self, item: Message) -> Group:
        """Return the ring that a message runs on."""
        return group(item.axis, self.degrees, self.cluster, self.profile, item.pair)
