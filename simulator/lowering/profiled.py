"""Passes whose times a plan states, as profiled on the machine.

A rank's time is divided evenly over its chunks. One rank may be slower than the
others; nobody says which, and the middle one is taken.
"""

from __future__ import annotations

from simulator.lowering.schedules.actions import Kind
from simulator.lowering.stages import Stage
from simulator.plan import Plan
from simulator.workload import Body, Measured, Phase
from topologies.units import Seconds

_NAMES: dict[Kind, str] = {
    "F": "forward",
    "B": "backward",
    "I": "backward for inputs",
    "W": "backward for weights",
}


def profiled_pass(plan: Plan, stage: Stage, kind: Kind) -> Body:
    """Return the body of a stage's pass, of a plan that states its time."""
    times = plan.stage_times
    assert times is not None
    seconds: dict[Kind, Seconds] = {
        "F": times.forward,
        "B": times.backward_input + times.backward_weight,
        "I": times.backward_input,
        "W": times.backward_weight,
    }
    mesh = plan.parallelism
    time = seconds[kind] * mesh.pipeline / mesh.num_stages
    if mesh.pipeline // 2 in mesh.placement[stage.index]:
        time *= times.slowest
    name = f"{_NAMES[kind]} of stage {stage.index}"
    phase: Phase = "forward" if kind == "F" else "backward"
    return Body(name, phase, (Measured(name, time),))
