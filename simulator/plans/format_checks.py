"""Whether the device offers the plan's number formats, and whether they agree."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.errors import Fault
from simulator.plans.network_records import ClusterSection
from simulator.plans.training_records import TrainingSection
from topologies import catalogue


def fixed_point_faults(training: TrainingSection) -> Iterator[Fault]:
    """Yield what only goes with fixed point, and what does not go with it."""
    is_fixed = training.precision == "fixed16"
    involves = ("training.precision",)
    if training.fraction is not None and not is_fixed:
        problem = f"{training.precision} numbers have no fixed point"
        remedy = 'write precision = "fixed16", or leave fraction out'
        yield Fault("training.fraction", problem, remedy, involves=involves)
    if is_fixed != (training.gradient_precision == "fixed16"):
        problem = f"gradients in {training.gradient_precision} do not go with"
        problem += f" {training.precision}: fixed-point training has one format"
        remedy = "leave gradient_precision out"
        yield Fault("training.gradient_precision", problem, remedy, involves=involves)


def precision_faults(
    training: TrainingSection, cluster: ClusterSection
) -> Iterator[Fault]:
    """Yield whether the device has no units for the plan's number format."""
    try:
        peak = catalogue.device(cluster.device).peak
    except catalogue.UnknownName:
        return
    if training.precision in peak:
        return
    is_default = "precision" not in training.model_fields_set
    what = f"{training.precision}{' (the default)' if is_default else ''}"
    formats = ("fp32", "tf32", "fp16", "bf16", "fp8", "fixed16")
    built = [name for name in formats if name in peak]
    yield Fault(
        "training.precision",
        f"{cluster.device} does not offer {what}",
        f"allowed on it: {', '.join(built)}",
        involves=("cluster.device",),
    )
