"""Whether layers can divide tokens and experts otherwise than a plan's others.

A choice that is true in any case, such as `expert = 1` where no plan divides experts,
is no fault, so that degrees can be varied under it; one that no layer could follow is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from models.flash_attention import FlashAttention
from models.mixture import ExpertLinear
from models.model import Model
from simulator.errors import Fault
from simulator.plans.layer_choices import named_by
from simulator.plans.records import ParallelismSection


def layer_token_faults(
    parallelism: ParallelismSection, model: Model
) -> Iterator[Fault]:
    """Yield choices of tokens and experts that the layers they name cannot follow.

    Args:
        parallelism: with the choices.
        model: with its blocks told apart.
    """
    for index, rule in enumerate(parallelism.layers):
        key = f"parallelism.layers[{index}]"
        named = named_by(rule, index, model)
        operators = [operator for layer in named for operator in layer.operators]
        other = next((layer for layer in named if layer.role != "block"), None)
        if rule.context and other:
            problem = f"{other.name} is no block, and divides its tokens as all do"
            yield Fault(f"{key}.context", problem, "match blocks only")
        if rule.context and rule.context_method:
            problem = "layers of whole samples have all keys and values"
            yield Fault(f"{key}.context_method", problem, "leave one of the two out")
        elif named and rule.context_method and not _any_of(FlashAttention, operators):
            problem = "these layers have no attention over several devices' tokens"
            yield Fault(f"{key}.context_method", problem, "leave it out")
        if named and rule.expert and not _any_of(ExpertLinear, operators):
            problem = "these layers have no experts"
            yield Fault(f"{key}.expert", problem, "leave it out")


def _any_of(kind: type, operators: Sequence[object]) -> bool:
    return any(isinstance(operator, kind) for operator in operators)
