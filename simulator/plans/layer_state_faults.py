"""Whether replicas can divide the states of some layers less than those of others."""

from __future__ import annotations

from collections.abc import Iterator

from models.model import Layer, Model
from simulator.errors import Fault
from simulator.plans.layer_choices import named_by, zero_of
from simulator.plans.records import LayerSection, ParallelismSection

_KEY = "parallelism.layers"
_INVOLVES = ("parallelism.zero",)


def layer_state_faults(
    parallelism: ParallelismSection, model: Model
) -> Iterator[Fault]:
    """Yield choices of states that cannot be, or say nothing.

    Args:
        parallelism: with the choices.
        model: with its blocks told apart.
    """
    for index, rule in enumerate(parallelism.layers):
        key = f"{_KEY}[{index}]"
        named = named_by(rule, index, model)
        if rule.zero is not None and rule.zero > parallelism.zero:
            problem = (
                f"{rule.zero}, but all other layers have zero = {parallelism.zero}"
            )
            remedy = f"write zero = {rule.zero} for all, and less for the others"
            yield Fault(f"{key}.zero", problem, remedy, involves=_INVOLVES)
        elif rule.reshard is not None:
            yield from _reshard_faults(parallelism, rule, key, named)
        if rule.zero is not None:
            yield from _table_faults(parallelism, model, key, named)


def _reshard_faults(
    parallelism: ParallelismSection, rule: LayerSection, key: str, named: list[Layer]
) -> Iterator[Fault]:
    """Yield a reshard of layers that are never gathered."""
    if any(zero_of(parallelism, layer) == 3 for layer in named) or not named:
        return
    said = "true" if rule.reshard else "false"
    problem = f"{said}, but parameters of these layers are not divided"
    remedy = "write zero = 3, or leave it out"
    yield Fault(f"{key}.reshard", problem, remedy, involves=_INVOLVES)


def _table_faults(
    parallelism: ParallelismSection, model: Model, key: str, named: list[Layer]
) -> Iterator[Fault]:
    """Yield layers that share a table and divide it differently."""
    by_name = {layer.name: layer for layer in model.layers}
    for layer in model.layers:
        source = by_name.get(layer.tied_to or "")
        if source is None or not {layer, source} & set(named):
            continue
        if zero_of(parallelism, layer) != zero_of(parallelism, source):
            problem = f"{layer.name} shares its table with {source.name}"
            yield Fault(f"{key}.zero", problem, "match both, or neither")
