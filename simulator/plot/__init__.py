"""Pictures of a prediction: where the step goes, what fills memory, what runs when.

Every function returns a matplotlib `Figure` and, given a path, writes it as SVG (text
stays text) or PNG. There is no pyplot and no global state: a figure belongs to whoever
asked for it, and the same result gives the same bytes.
"""

from simulator.plot.breakdown import plot_breakdown
from simulator.plot.plan_network import NoNetwork, check_network, plot_network
from simulator.plot.style import UnknownFormat, check_format
from simulator.plot.timeline import plot_timeline

__all__ = [
    "NoNetwork",
    "UnknownFormat",
    "check_format",
    "check_network",
    "plot_breakdown",
    "plot_network",
    "plot_timeline",
]
