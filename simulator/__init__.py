"""The plan, its lowering, the predicting engines, results and the command line.

    from simulator import Plan, scale, simulate

    result = simulate(Plan.load("plans/gpt-175b-512gpu.toml"))
    scale(result.job.plan, {"cluster.nodes": [16, 32, 64]}).plot("curve.svg")

The names below are looked up when they are first used, so that importing the package
costs nothing: the command line does so before it knows what it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.api import simulate
    from simulator.errors import PlanError, RehearsalError
    from simulator.plan import Plan
    from simulator.plot import plot_breakdown, plot_timeline
    from simulator.results.result import Result
    from simulator.scaling import Scaling, scale
else:
    _HOMES = {
        "Plan": "plan",
        "PlanError": "errors",
        "RehearsalError": "errors",
        "Result": "results.result",
        "Scaling": "scaling",
        "plot_breakdown": "plot",
        "plot_timeline": "plot",
        "scale": "scaling",
        "simulate": "api",
    }

    def __getattr__(name: str) -> object:
        """Import a public name where it lives (PEP 562)."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """Return what completion offers: the public names."""
        return sorted({*globals(), *__all__})


__all__ = [
    "Plan",
    "PlanError",
    "RehearsalError",
    "Result",
    "Scaling",
    "plot_breakdown",
    "plot_timeline",
    "scale",
    "simulate",
]
