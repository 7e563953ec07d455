"""How a plan scales: predictions over ranges of its keys, and where it stops paying."""

from simulator.scaling.curve import Scaling
from simulator.scaling.points import Measures, Point
from simulator.scaling.study import Study, study
from simulator.scaling.sweep import scale

__all__ = ["Measures", "Point", "Scaling", "Study", "scale", "study"]
