"""Pricing: a body's work on a cluster, as a `Price`. Both engines read prices here.

The way of a number: the plan's device, links and profile are gathered once in a
`Pricer`; every kernel and message of a body is priced by the formulas in
`simulator.costs`; prices compose in order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from models.work import Work
from simulator.collectives.options import Options
from simulator.collectives.table import TABLE
from simulator.costs.elementwise import minimum, where
from simulator.costs.messages import exchange_time, transfer_time
from simulator.mesh import Degrees
from simulator.pricing.choice import AUTO, Allowed, Choice, choose, fastest_time
from simulator.pricing.exchange import exchange_group
from simulator.pricing.kernels import Achieved, formula_time
from simulator.pricing.link_fits import adapter_rate
from simulator.pricing.measured import measured_time
from simulator.pricing.neighbours import busiest
from simulator.pricing.placement import Group, group, ranks_per_node
from simulator.pricing.price import NOTHING, Price, blocking, kernel, message
from simulator.pricing.servers import Servers
from simulator.workload import (
    Axis,
    Beside,
    Body,
    HostTask,
    Item,
    Measured,
    Message,
    Phase,
    Repeat,
)
from topologies.hardware import Cluster
from topologies.kernels import KernelTable
from topologies.profile import Profile
from topologies.units import FlopPerSecond, Ratio, Seconds

_FEW_BYTES: frozenset[Axis] = frozenset({"model", "stage"})


@dataclass(frozen=True, slots=True)
class Pricer:
    """Everything that turns work into seconds.

    Fields:
        cluster: devices, links and how many.
        profile: fitted constants of the device and its links.
        peak: dense rate of the plan's number format [FLOP/s].
        narrow_peak: that of products whose factors are cast to a narrower one
            [FLOP/s].
        degrees: ranks of each mesh axis.
        algorithm: of the all-reduce between replicas, or `auto`.
        servers: of parameters, if there are any.
        kernels: measured in the plan's number format, if the profile has them.
        pace: times of kernels over what the formulas say, from a measured step [1].
    """

    cluster: Cluster
    profile: Profile
    peak: FlopPerSecond
    degrees: Degrees
    algorithm: str
    narrow_peak: FlopPerSecond = 0.0
    servers: Servers | None = None
    kernels: KernelTable | None = None
    pace: Ratio = 1.0
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
            sent = self.item(item.message, phase)
            return sent.beside(works, self.profile.overlap_slowdown)
        if isinstance(item, Message):
            price = message(self.message_time(item), self.message_host_time(item))
            return price if phase == "message" else self._launched(price)
        if isinstance(item, HostTask):
            is_pass = item.kind == "pass"
            time = self.profile.host_pass if is_pass else self.profile.host_step
            return Price(0.0, time, time, 0.0, 0.0)
        if isinstance(item, Measured):
            return kernel(item.time, 0.0)
        price = kernel(self.kernel_time(item), self.kernel_host_time(item, phase))
        return self._launched(price)

    def _launched(self, price: Price) -> Price:
        """Return the price of a kernel or message as the platform launches it."""
        return blocking(price) if self.profile.is_blocking else price

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
        return self.pace * self.profile.in_step * self.formula_time(work)

    def formula_time(self, work: Work) -> Seconds:
        """Return what measured kernels say of it, or else the formulas, before pace."""
        if self.kernels is not None:
            time = measured_time(work, self.kernels)
            if time is not None:
                return time
        return formula_time(work, self.achieved)

    @property
    def achieved(self) -> Achieved:
        """What the device achieves, for the formulas of kernels."""
        return Achieved(self.cluster.device, self.profile, self.peak, self.narrow_peak)

    def kernel_host_time(self, work: Work, phase: Phase) -> Seconds:
        """Return the host time to issue a kernel: eager dispatch, by phase."""
        is_backward = phase == "backward"
        profile = self.profile
        per_launch = profile.host_backward if is_backward else profile.host_forward
        return work.launches * per_launch

    def carried(self, body: Body, time: Seconds) -> Price:
        """Return the price of a body whose one message a network carries."""
        (item,) = body.items
        assert isinstance(item, Message)
        return message(time, self.message_host_time(item))

    def message_host_time(self, item: Message) -> Seconds:
        """Return the host time to issue a message; a group of one issues none."""
        if item.time is not None:
            return 0.0
        ring = self.group(item)
        return where(ring.num_ranks > 1, self.profile.host_message, 0.0)

    def message_time(self, item: Message) -> Seconds:
        """Return the time of a message on idle links; a group of one takes none."""
        if item.time is not None:
            return item.time
        if item.pattern in {"push", "pull"}:
            return self._served_time(item)
        ring = self.group(item)
        if item.sends:
            return where(ring.num_ranks > 1, self._exchange_time(item, ring), 0.0)
        match item.pattern:
            case "send" | "neighbour-exchange":
                time = transfer_time(item.size, ring.transfer, ring.bandwidth)
            case pattern:
                time = fastest_time(pattern, item.size, ring, self.allowed(item))
        return where(ring.num_ranks > 1, time, 0.0)

    def _served_time(self, item: Message) -> Seconds:
        """Return the time of a push to the plan's servers, or of a pull."""
        assert self.servers is not None
        return self.servers.time(item.pattern, item.size)

    def _exchange_time(self, item: Message, group: Group) -> Seconds:
        """Return the time of an exchange between neighbours."""
        cluster, profile = self.cluster, self.profile
        load = busiest(item.sends, cluster.devices_per_node)
        adapters = cluster.adapters_per_node * adapter_rate(cluster.network, profile)
        return exchange_time(
            load.device,
            load.node,
            group.transfer,
            inside=adapter_rate(cluster.fabric, profile),
            outside=minimum(adapters, cluster.network.copy_rate),
        )

    def allowed(self, item: Message) -> Allowed:
        """Return how a collective may be run: the plan says it between replicas.

        Norms over all ranks of a replica and scales over those of a stage are a few
        bytes, for which there is a tree; the parts of an all-to-all are sent all at
        once.
        """
        if item.axis in _FEW_BYTES:
            return Allowed("tree")
        if item.pattern == "all-to-all":
            return Allowed("direct")
        if item.axis != "data" or item.pattern != "all-reduce":
            offered = self.profile.algorithms
            has_ring = (item.pattern, "ring") in TABLE
            usual = "ring" if has_ring and not offered else AUTO
            return Allowed(usual, offered=offered)
        inside = ranks_per_node(
            self.degrees.span("data"), self.cluster.devices_per_node
        )
        options = Options(per_node=inside)  # type: ignore[arg-type]  # or many of them
        return Allowed(self.algorithm, offered=self.profile.algorithms, options=options)

    def choice(self, item: Message) -> Choice:
        """Return how a collective of one plan is run on idle links."""
        if item.pattern in {"push", "pull"}:
            return Choice("sharded", "simple", self._served_time(item), 1)
        return choose(item.pattern, item.size, self.group(item), self.allowed(item))  # type: ignore[arg-type]  # no send

    def group(self, item: Message) -> Group:
        """Return the ring that a message runs on, or what an exchange has of links.

        A few bytes, for which no protocols were fitted, have the first of its links.
        """
        if item.pattern == "all-to-all":
            return exchange_group(item.axis, self.degrees, self.cluster, self.profile)
        ring = group(item.axis, self.degrees, self.cluster, self.profile, item.pair)
        return replace(ring, lanes=()) if item.axis in _FEW_BYTES else ring
