"""What the torch engine does not run, said as faults of the plan."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.errors import Fault, PlanError
from simulator.lowering.schedules.table import DESIGNS
from simulator.plan import Plan


def refuse(plan: Plan) -> None:
    """Refuse what would not be what the plan says.

    Raises:
        PlanError: with every fault.
    """
    faults = list(_faults(plan))
    if faults:
        raise PlanError(faults)


def _faults(plan: Plan) -> Iterator[Fault]:
    mesh = plan.parallelism
    beyond = "is simulated, but not run yet"
    for key in ("context", "expert"):
        if getattr(mesh, key) > 1:
            yield Fault(f"parallelism.{key}", f"{key} parallelism {beyond}")
    if mesh.zero in {1, 2} and mesh.replicas > 1:
        problem = f"{mesh.zero}: dividing states without parameters {beyond}"
        yield Fault("parallelism.zero", problem, "write zero = 3 or 0")
    if mesh.zero == 3 and mesh.pipeline > 1:
        yield Fault("parallelism.zero", f"dividing a pipeline's parameters {beyond}")
    if any(len(ranks) > 1 for ranks in mesh.placement):
        problem = f"{mesh.schedule} keeps two copies of a stage, which {beyond}"
        yield Fault("parallelism.schedule", problem, "choose another, such as zb-v")
    is_bucketed = plan.synchronization.overlap and mesh.replicas > 1
    if is_bucketed and DESIGNS[mesh.schedule].has_parts:
        problem = "DDP cannot sum gradients during backward passes in two parts"
        remedy = "write overlap = false"
        yield Fault("synchronization.overlap", problem, remedy)
    if any(choice.split == "neurons" for choice in mesh.layers):
        yield Fault("parallelism.layers", f"splitting by neurons {beyond}")
    if plan.stage_times is not None:
        yield Fault("stage_times", "times of passes are stated, not run", "remove them")
