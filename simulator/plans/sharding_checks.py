"""How the keys that divide states among replicas have to fit together."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.errors import Fault
from simulator.plans.records import ParallelismSection, TrainingSection


def sharding_faults(parallelism: ParallelismSection) -> Iterator[Fault]:
    """Yield keys that say nothing under the plan's stage of ZeRO, or not together."""
    zero = parallelism.zero
    if not parallelism.reshard and zero < 3:
        problem = f"false, but under zero = {zero} parameters are not divided"
        yield _needs("reshard", problem, "write zero = 3, or leave it out")
    if parallelism.gather != "layer" and zero < 3:
        problem = f"{parallelism.gather}, but under zero = {zero} no layer is gathered"
        yield _needs("gather", problem, "write zero = 3, or leave it out")
    if parallelism.overlap_gather and zero not in {1, 2}:
        problem = f"true, but zero = {zero} gathers nothing after the optimizer"
        yield _needs("overlap_gather", problem, "write zero = 1 or 2, or leave it out")
    if parallelism.reduce_each and zero < 2:
        problem = f"true, but under zero = {zero} whole gradients are kept"
        yield _needs("reduce_each", problem, "write zero = 2 or 3, or leave it out")
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


def _needs(name: str, problem: str, remedy: str) -> Fault:
    involves = ("parallelism.zero",)
    return Fault(f"parallelism.{name}", problem, remedy, involves=involves)
