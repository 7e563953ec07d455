"""What the torch engine does not run, said as faults of the plan."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.errors import Fault, PlanError
from simulator.lowering.schedules.table import DESIGNS
from simulator.plan import Plan
from simulator.plans.layer_choices import layers_by_neurons
from simulator.plans.records import ParallelismSection

_BEYOND = "is simulated, but not run yet"


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
    yield from _token_faults(mesh)
    yield from _state_faults(mesh)
    if any(len(ranks) > 1 for ranks in mesh.placement):
        problem = f"{mesh.schedule} keeps two copies of a stage, which {_BEYOND}"
        yield Fault("parallelism.schedule", problem, "choose another, such as zb-v")
    is_bucketed = plan.synchronization.overlap and mesh.replicas > 1
    if is_bucketed and DESIGNS[mesh.schedule].has_parts:
        problem = "DDP cannot sum gradients during backward passes in two parts"
        remedy = "write overlap = false"
        yield Fault("synchronization.overlap", problem, remedy)
    if mesh.replicas == 1 and layers_by_neurons(mesh, plan.build_model()):
        problem = "one replica has all neurons, and nothing to run by portions"
        yield Fault("parallelism.layers", problem, 'leave split = "neurons" out')
    if plan.training.optimizer == "lbfgs":
        yield Fault("training.optimizer", f"L-BFGS {_BEYOND}", "choose another")
    if plan.stage_times is not None:
        yield Fault("stage_times", "times of passes are stated, not run", "remove them")


def _token_faults(mesh: ParallelismSection) -> Iterator[Fault]:
    """Yield splits of tokens that are not run."""
    if mesh.expert > 1 and mesh.tensor > 1:
        problem = f"experts beside tensor parallelism: that {_BEYOND}"
        yield Fault("parallelism.expert", problem, "write tensor = 1")
    if mesh.expert_imbalance > 1:
        problem = "routes that are run are balanced"
        yield Fault("parallelism.expert_imbalance", problem, "write 1")


def _state_faults(mesh: ParallelismSection) -> Iterator[Fault]:
    """Yield ways of dividing states that torch has not, or that are not run."""
    if mesh.gather != "layer":
        problem = f"{mesh.gather}: gathering weights by themselves {_BEYOND}"
        yield Fault("parallelism.gather", problem, "leave it out")
    is_in_buckets = mesh.zero == 2 or (mesh.zero == 1 and mesh.overlap_gather)
    if is_in_buckets and mesh.pipeline * mesh.expert > 1:
        problem = f"dividing buckets of stages or experts {_BEYOND}"
        remedy = "write zero = 1 and overlap_gather = false"
        yield Fault("parallelism.zero", problem, remedy)
    if mesh.zero and mesh.replicas > mesh.shard == 1:
        problem = "one rank has all states, and nothing to divide"
        yield Fault("parallelism.shard", problem, "write zero = 0")
    if mesh.zero == 3 and mesh.pipeline > 1:
        yield Fault("parallelism.zero", f"dividing a pipeline's parameters {_BEYOND}")
