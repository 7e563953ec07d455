"""Contention: max-min fair rates, the fluid network on a clock, orders of rings."""

from simulator.network.fair import Flows, fair_rates
from simulator.network.fluid import FluidNetwork
from simulator.network.ring_order import RingOrder, best_ring_order, ring_load

__all__ = [
    "Flows",
    "FluidNetwork",
    "RingOrder",
    "best_ring_order",
    "fair_rates",
    "ring_load",
]
