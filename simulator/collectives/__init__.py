"""Collectives: for each pattern and algorithm what it costs and what it sends."""

from simulator.collectives.algorithm import Algorithm, Pattern
from simulator.collectives.options import DEFAULTS, Options
from simulator.collectives.table import TABLE

__all__ = ["DEFAULTS", "TABLE", "Algorithm", "Options", "Pattern"]
