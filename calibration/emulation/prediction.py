"""What the fluid network predicts of flows, with constants of a two-host network."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from calibration.emulation.exchange import Flow, exchange
from calibration.emulation.network import EmulatedNetwork
from calibration.emulation.shape import Shape
from simulator.network.clock import PrivateClock
from simulator.network.fluid import FluidNetwork
from topologies.graphs.direct import ring
from topologies.graphs.wiring import Wiring
from topologies.units import Bytes, BytesPerSecond, Ratio, Seconds


class Constants(NamedTuple):
    """What one cable gives to a flow: a time of latency + size / (share · bandwidth).

    Fields:
        share: of the shaped rate that is payload [1].
        latency: of a flow of no bytes [s].
    """

    share: Ratio
    latency: Seconds


def measure_constants(
    bandwidth: BytesPerSecond,
    shape: Shape | None = None,
    *,
    sizes: tuple[int, int] = (250_000, 2_500_000),
    repeats: int = 5,
) -> Constants:
    """Return the constants of two hosts with one cable, from medians of two sizes.

    Args:
        bandwidth: of the cable [B/s].
        shape: of the cable.
        sizes: a small and a large one [B].
        repeats: of each size [1].
    """
    cable = Wiring(network=ring(hosts=2, bandwidth=bandwidth, latency=0.0))
    with EmulatedNetwork(cable, shape) as network:
        small, large = (
            median(exchange(network, [Flow(0, 1, size)])[0] for _ in range(repeats))
            for size in sizes
        )
    rate = (sizes[1] - sizes[0]) / (large - small)
    return Constants(rate / bandwidth, max(small - sizes[0] / rate, 0.0))


def predict(
    wiring: Wiring, flows: Sequence[Flow], constants: Constants
) -> list[Seconds]:
    """Return how long each flow takes if links are shared at max-min fair rates [s].

    Args:
        wiring: a network, and routes over one path for each pair.
        flows: each between two different hosts.
        constants: of its cables.
    """
    clock = PrivateClock()
    network = FluidNetwork(clock, wiring.bandwidth * constants.share)
    routes = wiring.routes([flow[:2] for flow in flows])
    ends: dict[int, Seconds] = {}
    for number, flow in enumerate(flows):
        start = _Start(network, number, flow.size, routes.of(number)[0].tolist(), ends)
        clock.timeout(flow.start + constants.latency).callbacks.append(start.begin)
    clock.run()
    return [ends[number] - flow.start for number, flow in enumerate(flows)]


class _Start(NamedTuple):
    """What happens when a flow's first byte moves."""

    network: FluidNetwork
    number: int
    size: Bytes
    links: list[int]
    ends: dict[int, Seconds]

    def begin(self, _: object) -> None:
        """Start the flow, and note the time at its end."""
        done = self.network.start(self.links, self.size)
        done.callbacks.append(self._note)

    def _note(self, _: object) -> None:
        self.ends[self.number] = self.network.clock.now
