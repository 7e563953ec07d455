"""What the torch engine does not run, said as faults of the plan."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from calibration.torch_engine.routes import is_balanced
from models.functions import Heads
from models.operators import Linear
from simulator.errors import Fault, PlanError
from simulator.lowering.keeping import BY_OPERATORS
from simulator.lowering.schedules.table import DESIGNS
from simulator.lowering.served import is_served
from simulator.lowering.states import kept_precision
from simulator.plan import Plan
from simulator.plans.layer_choices import layers_by_neurons, recompute_of

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
    yield from _token_faults(plan)
    yield from _head_faults(plan)
    yield from _state_faults(plan)
    if mesh.recompute in BY_OPERATORS:
        problem = f"{mesh.recompute}: recomputation by operators {_BEYOND}"
        yield Fault("parallelism.recompute", problem, "allowed: none, selective, full")
    yield from _divided_pipeline_faults(plan)
    if mesh.passes_overlap and mesh.tensor * mesh.expert * mesh.context > 1:
        problem = "a rank runs its passes one after the other, messages in the way"
        remedy = "write false, and it is predicted so too"
        yield Fault("parallelism.overlap_passes", problem, remedy)
    if mesh.replicas == 1 and layers_by_neurons(mesh, plan.build_model()):
        problem = "one replica has all neurons, and nothing to run by portions"
        yield Fault("parallelism.layers", problem, 'leave split = "neurons" out')
    layers = plan.build_model().layers
    is_again = any(recompute_of(mesh, each) == "full" for each in layers)
    if is_again and mesh.pipeline > 1 and DESIGNS[mesh.schedule].has_parts:
        problem = "torch computes a layer again for each weight of a second part"
        remedy = "write recompute = none, or a schedule of whole backward passes"
        yield Fault("parallelism.recompute", problem, remedy)
    is_one = mesh.tensor * mesh.pipeline * mesh.expert == 1
    is_whole = is_one and not mesh.zero and not is_served(plan)
    has_neurons = bool(layers_by_neurons(mesh, plan.build_model()))
    if plan.training.optimizer == "lbfgs" and (has_neurons or not is_whole):
        problem = (
            "torch's L-BFGS multiplies whole gradients, of which a rank has a part"
        )
        yield Fault("training.optimizer", problem, "choose another")
    if plan.stage_times is not None:
        yield Fault("stage_times", "times of passes are stated, not run", "remove them")


def _token_faults(plan: Plan) -> Iterator[Fault]:
    """Yield splits of tokens that are not run."""
    mesh = plan.parallelism
    if mesh.sequence and mesh.context > 1:
        for index, rule in enumerate(mesh.layers):
            if rule.context:
                problem = f"whole samples beside sequence parallelism: that {_BEYOND}"
                key = f"parallelism.layers[{index}].context"
                yield Fault(key, problem, "write sequence = false, or leave it out")
    if not is_balanced(plan):
        problem = "a rank's tokens have more rows for some experts than for others"
        remedy = "write a longer sequence, or fewer experts"
        yield Fault("model.sequence_length", problem, remedy)
    if mesh.expert_neighbours > 1:
        problem = f"tokens that nodes pass on: that {_BEYOND}"
        yield Fault("parallelism.expert_neighbours", problem, "write 1")
    if mesh.has_whole_experts:
        problem = f"tensor ranks that have experts of their own: that {_BEYOND}"
        yield Fault("parallelism.expert_tensor", problem, "leave it out")
    if mesh.expert_imbalance > 1:
        problem = "routes that are run are balanced"
        yield Fault("parallelism.expert_imbalance", problem, "write 1")


def _head_faults(plan: Plan) -> Iterator[Fault]:
    """Yield why tensor ranks would have to hold copies of key-value heads."""
    tensor = plan.parallelism.tensor
    for layer in plan.build_model().layers:
        for before, operator in pairwise(layer.operators):
            heads = getattr(operator, "function", None)
            if not isinstance(heads, Heads) or not isinstance(before, Linear):
                continue
            groups = before.columns // ((heads.per_group + 2) * heads.width)
            if groups % tensor:
                problem = f"{tensor} ranks would copy {groups} key-value heads; that "
                yield Fault("parallelism.tensor", problem + _BEYOND, f"write {groups}")
                return


def _layer_state_faults(plan: Plan) -> Iterator[Fault]:
    """Yield states of single layers that are divided in ways that are not run."""
    mesh, training = plan.parallelism, plan.training
    for index, rule in enumerate(mesh.layers):
        if rule.zero is None or rule.zero == mesh.zero or mesh.replicas == 1:
            continue
        key = f"parallelism.layers[{index}].zero"
        if mesh.zero < 3 or rule.zero or mesh.pipeline * mesh.expert > 1:
            problem = f"{rule.zero} beside zero = {mesh.zero}: that {_BEYOND}"
            remedy = "run are zero = 0 beside 3, without a pipeline or divided experts"
            yield Fault(key, problem, remedy)
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
    is_in_buckets = mesh.zero == 2 or (mesh.zero == 1 and mesh.overlap_gather)
    is_in_buckets = is_in_buckets and mesh.replicas > 1
    if is_in_buckets and mesh.pipeline * mesh.expert > 1:
        problem = f"dividing buckets of stages or experts {_BEYOND}"
        remedy = "write zero = 1 and overlap_gather = false"
        yield Fault("parallelism.zero", problem, remedy)
    if is_in_buckets and mesh.shard == 1:
        problem = "one rank has all states, and nothing to divide"
        yield Fault("parallelism.shard", problem, "write zero = 0")


def _divided_pipeline_faults(plan: Plan) -> Iterator[Fault]:
    """Yield what torch does not do with divided parameters in a pipeline."""
    mesh = plan.parallelism
    if mesh.zero < 3 or mesh.pipeline == 1 or mesh.replicas == 1:
        return
    if mesh.reduce_each:
        problem = "torch's pipelines sum divided gradients once a step"
        yield Fault("parallelism.reduce_each", problem, "leave it out")
    is_dropped = mesh.reshard or any(rule.reshard for rule in mesh.layers)
    if is_dropped and DESIGNS[mesh.schedule].has_parts:
        problem = "torch finds no weights in the second part of a backward pass"
        yield Fault("parallelism.reshard", problem, "write false")
    is_tied = any(layer.tied_to is not None for layer in plan.build_model().layers)
    if is_tied and set(mesh.placement[0]) & set(mesh.placement[-1]):
        problem = "two stages of a rank share a table, which torch would divide twice"
        yield Fault("parallelism.zero", problem, "write zero = 0 or 1")
