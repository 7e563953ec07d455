"""What the torch engine does not run, said as faults of the plan."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.errors import Fault, PlanError
from simulator.lowering.schedules.table import DESIGNS
from simulator.lowering.served import is_served
from simulator.lowering.states import kept_precision
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
    yield from _state_faults(plan)
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
    if is_served(plan):
        problem = f"parameter servers: that {_BEYOND}"
        remedy = 'write scheme = "all-reduce"'
        yield Fault("synchronization.scheme", problem, remedy)
    if plan.training.optimizer == "lbfgs":
        yield Fault("training.optimizer", f"L-BFGS {_BEYOND}", "choose another")
    if plan.stage_times is not None:
        yield Fault("stage_times", "times of passes are stated, not run", "remove them")


def _token_faults(mesh: ParallelismSection) -> Iterator[Fault]:
    """Yield splits of tokens that are not run."""
    if mesh.expert > 1 and mesh.tensor > 1:
        problem = f"experts beside tensor parallelism: that {_BEYOND}"
        yield Fault("parallelism.expert", problem, "write tensor = 1")
    if mesh.sequence and mesh.context > 1:
        for index, rule in enumerate(mesh.layers):
            if rule.context:
                problem = f"whole samples beside sequence parallelism: that {_BEYOND}"
                key = f"parallelism.layers[{index}].context"
                yield Fault(key, problem, "write sequence = false, or leave it out")
    if mesh.expert_imbalance > 1:
        problem = "routes that are run are balanced"
        yield Fault("parallelism.expert_imbalance", problem, "write 1")


def _layer_state_faults(plan: Plan) -> Iterator[Fault]:
    """Yield states of single layers that are divided in ways that are not run."""
    mesh, training = plan.parallelism, plan.training
    for index, rule in enumerate(mesh.layers):
        if rule.zero is None or rule.zero == mesh.zero or mesh.replicas == 1:
            continue
        key = f"parallelism.layers[{index}].zero"
        if mesh.zero < 3 or rule.zero:
            problem = f"{rule.zero} beside zero = {mesh.zero}: that {_BEYOND}"
            yield Fault(key, problem, "zero = 0 beside zero = 3 is run")
        elif training.precision not in {"tf32", kept_precision(plan)}:
            problem = f"0, with parameters in {kept_precision(plan)} beside others"
            problem += f" that are gathered in {training.precision}: that {_BEYOND}"
            yield Fault(key, problem, 'write precision = "fp32"')


def _state_faults(plan: Plan) -> Iterator[Fault]:
    """Yield ways of dividing states that torch has not, or that are not run."""
    mesh = plan.parallelism
    if mesh.gather != "layer":
        problem = f"{mesh.gather}: gathering weights by themselves {_BEYOND}"
        yield Fault("parallelism.gather", problem, "leave it out")
    yield from _layer_state_faults(plan)
    if mesh.zero == 2 and mesh.replicas > 1:
        problem = "2: torch divides gradients only with parameters"
        remedy = "write zero = 3 and reshard = false"
        yield Fault("parallelism.zero", problem, remedy)
    if mesh.zero == 1 and mesh.overlap_gather:
        problem = "torch's owners broadcast right after the optimizer"
        yield Fault("parallelism.overlap_gather", problem, "leave it out")
    if mesh.zero == 3 and mesh.pipeline > 1:
        yield Fault("parallelism.zero", f"dividing a pipeline's parameters {_BEYOND}")
