"""What is wrong with data that were given, said as what is wrong with a plan is."""

from __future__ import annotations

from simulator.errors import Fault


def data_fault(problem: str, remedy: str) -> Fault:
    """Return a fault of the option that named the data."""
    return Fault("--data", problem, remedy)
