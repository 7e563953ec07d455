"""The sources behind exactly one prediction: formulas, data sheets, fits."""

from __future__ import annotations

from simulator.reporting.explain import contributions
from simulator.results.result import Result


def sources(result: Result) -> str:
    """Return, as text, where every formula and constant of `result` comes from."""
    cluster, profile = result.job.cluster, result.job.profile
    formulas = sorted({part.source for part in contributions(result)})
    lines = [
        f"device {cluster.device.name}: {cluster.device.source}",
        f"fabric {cluster.fabric.name}: {cluster.fabric.source}",
        f"network {cluster.network.name}: {cluster.network.source}",
        f"profile {profile.name}: {profile.basis}",
        *(f"formula: {source}" for source in formulas),
    ]
    return "\n".join(lines) + "\n"
