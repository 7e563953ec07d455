"""Contention: fair rates, traffic on a fluid network with a clock, orders of rings."""

from simulator.network.fair import Flows, fair_rates
from simulator.network.fluid import FluidNetwork
from simulator.network.ring_order import RingOrder, best_ring_order, ring_load
from simulator.network.router import Router
from simulator.network.traffic import Labour, Traffic

__all__ = [
    "Flows",
    "FluidNetwork",
    "Labour",
    "RingOrder",
    "Router",
    "Traffic",
    "best_ring_order",
    "fair_rates",
    "ring_load",
]
