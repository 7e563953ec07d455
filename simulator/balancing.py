"""How many blocks each pipeline stage has, where a plan leaves that to their times."""

from __future__ import annotations

from models.model import Layer, Model
from simulator.lowering.balance import balanced_sizes
from simulator.lowering.passes import Passes
from simulator.lowering.staged import make_share, plan_passes
from simulator.plan import Plan
from simulator.pricing.pricer import Pricer
from topologies.units import Seconds


def balanced_by_time(
    plan: Plan, model: Model, pricer: Pricer
) -> tuple[int, ...] | None:
    """Return the blocks of each stage by priced time; None if a plan wants no balance.

    Transfers are left out: all stages but the ends send the same.
    """
    mesh = plan.parallelism
    if mesh.balance != "time":
        return None
    share = make_share(plan)
    times = {
        layer: _time(plan_passes(plan, layer, share), pricer)
        for layer in set(model.layers)
    }

    return balanced_sizes(
        tuple(times[layer] for layer in model.layers if layer.role == "block"),
        mesh.num_stages,
        before=_total(model, times, "embedding"),
        after=_total(model, times, "head"),
    )


def _time(passes: Passes, pricer: Pricer) -> Seconds:
    """Return the device time of a layer's forward and backward."""
    forward = pricer.items(passes.forward, "forward").busy
    return float(forward + pricer.items(passes.backward, "backward").busy)


def _total(model: Model, times: dict[Layer, Seconds], role: str) -> Seconds:
    """Return the time of the layers of a role."""
    return sum(times[layer] for layer in model.layers if layer.role == role)
