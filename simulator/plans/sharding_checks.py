"""How the keys that divide states among replicas have to fit together.

One rule for all that need a stage of ZeRO: what is written and cannot have an effect is
a fault, and what is true in any case (a default, or `reduce_each = false` where whole
gradients are kept anyway) is none. Whoever varies the stage leaves out what would be a
fault at a value, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from simulator.errors import Fault
from simulator.plans.fields import shown
from simulator.plans.records import LayerSection, ParallelismSection, TrainingSection


class _Need(NamedTuple):
    """The stages of ZeRO under which a key says something, and why under no other."""

    stages: tuple[int, ...]
    otherwise: str


_NEEDS = {
    "shard": _Need((1, 2, 3), "under zero = {} no states are divided"),
    "prefetch": _Need((3,), "under zero = {} no layer is gathered"),
    "reshard": _Need((3,), "under zero = {} parameters are not divided"),
    "reduce_each": _Need((2, 3), "under zero = {} whole gradients are kept"),
    "gather": _Need((3,), "under zero = {} no layer is gathered"),
    "overlap_gather": _Need((1, 2), "zero = {} gathers nothing after the optimizer"),
}


def sharding_faults(parallelism: ParallelismSection) -> Iterator[Fault]:
    """Yield keys that say nothing under the plan's stage of ZeRO, or not together."""
    zero = parallelism.zero
    for name in _idle(parallelism, zero):
        need = _NEEDS[name]
        *others, last = map(str, need.stages)
        stages = f"{', '.join(others)} or {last}" if others else last
        said = _said(getattr(parallelism, name))
        problem = f"{said}, but {need.otherwise.format(zero)}"
        remedy = f"write zero = {stages}, or leave it out"
        involves = ("parallelism.zero",)
        yield Fault(f"parallelism.{name}", problem, remedy, involves=involves)
    if zero and parallelism.expert > 1 and "shard" in parallelism.model_fields_set:
        problem = f"{parallelism.shard} devices divide states, and"
        problem += f" {parallelism.expert} experts; hybrid groups of experts are none"
        involves = ("parallelism.expert",)
        remedy = "leave shard out: all replicas then divide them"
        yield Fault("parallelism.shard", problem, remedy, involves=involves)


def profiled_faults(parallelism: ParallelismSection) -> Iterator[Fault]:
    """Yield states of single layers, in a plan that gives times of whole stages."""
    for index, rule in enumerate(parallelism.layers):
        for name in ("zero", "reshard"):
            if getattr(rule, name) is not None:
                problem = "is of single layers, but [stage_times] has whole stages"
                key = f"parallelism.layers[{index}].{name}"
                yield Fault(key, problem, "leave one of the two out")


def kept_faults(training: TrainingSection) -> Iterator[Fault]:
    """Yield a format of parameters that is neither that of compute nor fp32."""
    kept = training.parameter_precision
    if kept not in {None, "fp32", training.precision}:
        yield Fault(
            "training.parameter_precision",
            f"{kept}, but the plan computes in {training.precision}",
            f"write {training.precision} or fp32, or leave it out"
            if training.precision != "tf32"
            else "write fp32, or leave it out",
            involves=("training.precision",),
        )


def left_out(parallelism: ParallelismSection, zero: int) -> dict[str, Any]:
    """Return the changes that leave out what says nothing under another stage.

    Args:
        parallelism: of a plan.
        zero: the stage of ZeRO that it is to have.
    """
    changes: dict[str, Any] = {
        f"parallelism.{name}": None for name in _idle(parallelism, zero)
    }
    rules = [_fitting(rule, zero) for rule in parallelism.layers]
    if rules != [_written(rule) for rule in parallelism.layers]:
        changes["parallelism.layers"] = [rule for rule in rules if rule.keys() - _WHICH]
    return changes


_WHICH = {"match", "blocks", "stage_blocks"}


def _written(rule: LayerSection) -> dict[str, Any]:
    return rule.model_dump(exclude_none=True)


def _fitting(rule: LayerSection, zero: int) -> dict[str, Any]:
    """Return what a table says that may be said under a stage."""
    written = _written(rule)
    if written.get("zero", 0) > zero:
        del written["zero"]
    if zero < 3:
        written.pop("reshard", None)
    return written


def _idle(parallelism: ParallelismSection, zero: int) -> list[str]:
    """Return the keys that are written and cannot have an effect under a stage."""
    fields = ParallelismSection.model_fields
    return [
        name
        for name, need in _NEEDS.items()
        if zero not in need.stages
        and name in parallelism.model_fields_set
        and getattr(parallelism, name) != fields[name].default
        and not (name == "reduce_each" and not parallelism.reduce_each)
    ]


def _said(value: object) -> str:
    return value if isinstance(value, str) else shown(value)
