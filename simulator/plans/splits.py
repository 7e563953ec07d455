"""Whether a split comes out even: degrees, groups, tensors, what is recomputed."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd, prod

from models.model import Model
from models.operators import rank_grid
from simulator.errors import Fault
from simulator.plans.building import divided, has_attention
from simulator.plans.records import ClusterSection, ParallelismSection

# Of layers whose attention stores no scores, or that have none.
WITHOUT_SCORES = "none, operators, compiled-operators, full"


def data_degree(parallelism: ParallelismSection, cluster: ClusterSection) -> int | None:
    """Return d, derived from the cluster if it is not given; None if impossible."""
    if "data" in parallelism.model_fields_set:
        return parallelism.data
    share = parallelism.tensor * parallelism.context * parallelism.pipeline
    return None if cluster.num_devices % share else cluster.num_devices // share


def degree_faults(
    parallelism: ParallelismSection, cluster: ClusterSection
) -> Iterator[Fault]:
    """Yield whether the degrees multiply to all the devices there are."""
    tensor, pipeline = parallelism.tensor, parallelism.pipeline
    context = parallelism.context
    devices = cluster.num_devices
    share = tensor * context * pipeline
    machine = f"{cluster.nodes} x {cluster.devices_per_node} = {devices}"
    involves = (
        *("parallelism.data", "parallelism.tensor", "parallelism.pipeline"),
        "parallelism.context",
        *("cluster.nodes", "cluster.devices_per_node"),
    )
    is_given = "data" in parallelism.model_fields_set
    total = share * (parallelism.data if is_given else 1)
    if total == devices or (not is_given and devices % share == 0):
        return
    split = f"{tensor} tensor x {pipeline} pipeline"
    if context > 1:
        split += f" x {context} context"
    if is_given:
        split += f" x {parallelism.data} data"
        problem = f"{split} = {total} devices, but the cluster has {machine}"
    else:
        replicas = f"{devices} / {share} = {devices / share:.4g} replicas"
        problem = f"{split} = {share} devices a replica, but the cluster has {machine}"
        problem += f" ({replicas})"
    if devices % share == 0:
        remedy = f"data = {devices // share} would fit"
    else:
        remedy = _dividing_degrees(tensor, pipeline, context, devices)
    yield Fault("parallelism.data", problem, remedy, involves=involves)


def _dividing_degrees(tensor: int, pipeline: int, context: int, devices: int) -> str:
    """Return which change of one degree makes their product divide `devices`."""
    degrees = {"pipeline": pipeline, "tensor": tensor, "context": context}
    for name, degree in degrees.items():
        others = prod(degrees.values()) // degree
        if devices % others == 0:
            return f"{name} = {nearest_divisor(devices // others, degree)} would fit"
    names = [name for name in ("tensor", "pipeline", "context") if degrees[name] > 1]
    return f"{' x '.join(names)} has to divide {devices}"


def group_faults(parallelism: ParallelismSection, data: int) -> Iterator[Fault]:
    """Yield whether neighbours among the data x context ranks form whole groups."""
    replicas = data * parallelism.context
    for name, degree, what in (
        ("expert", parallelism.expert_ranks, "experts"),
        ("shard", parallelism.shard or 1, "states"),
    ):
        if replicas % degree:
            shown = f"{data} data x {parallelism.context} context = {replicas} devices"
            yield Fault(
                f"parallelism.{name}",
                f"{degree} devices that divide the {what} do not divide {shown}",
                f"{name} = {nearest_divisor(replicas, degree)} would fit",
                involves=("parallelism.data", "parallelism.context"),
            )


def nearest_divisor(number: int, wanted: int) -> int:
    """Return the divisor of `number` nearest to `wanted`, the smaller of two.

    >>> nearest_divisor(96, 7)
    6
    """
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    divisors = sorted({*small, *(number // d for d in small)})
    return min(divisors, key=lambda divisor: abs(divisor - wanted))


def quotient(devices: int | None, degree: int) -> int:
    """Return devices / degree, or 0 where that says nothing: gcd(0, n) = n."""
    return 0 if devices is None or devices % degree else devices // degree


def recompute_faults(parallelism: ParallelismSection, model: Model) -> Iterator[Fault]:
    """Yield whether there is anything that recomputation can drop."""
    mesh = parallelism
    for name, usual in (("recompute_early", False), ("recompute_all", True)):
        if getattr(mesh, name) != usual and mesh.recompute != "full":
            problem = f"is of full recomputation, and recompute is {mesh.recompute}"
            key, remedy = f"parallelism.{name}", 'write recompute = "full"'
            yield Fault(key, problem, remedy, involves=("parallelism.recompute",))
    yield from _stopping_faults(mesh)
    if "operators" in parallelism.recompute and model.attention == "none":
        problem = f"keeps products of transformers, which {model.name} is not"
        yield Fault("parallelism.recompute", problem, "allowed: none, full")
    if parallelism.recompute == "selective" and not has_attention(model):
        problem = (
            f"selective recomputation drops attention scores, {model.name} stores none"
        )
        others = "none, full" if model.attention == "none" else WITHOUT_SCORES
        yield Fault("parallelism.recompute", problem, f"allowed: {others}")


def _stopping_faults(mesh: ParallelismSection) -> Iterator[Fault]:
    """Yield where recomputation cannot stop before a block's end."""
    key = "parallelism.recompute_stops"
    if mesh.recompute_stops and mesh.recompute_early:
        problem = "stages that are computed again early are computed to their end"
        involves = ("parallelism.recompute_early",)
        yield Fault(key, problem, "leave it out", involves=involves)
    if mesh.recompute_stops and mesh.gather == "weight":
        problem = (
            "blocks whose weights are gathered one by one are computed to their end"
        )
        yield Fault(key, problem, "leave it out", involves=("parallelism.gather",))


def tensor_faults(
    parallelism: ParallelismSection, model: Model, devices: int | None
) -> Iterator[Fault]:
    """Yield what the tensor ranks do not divide."""
    tensor = parallelism.tensor
    if tensor == 1:
        return
    key = "parallelism.tensor"
    if not model.can_split_tensors:
        problem = f"{model.name} has no operator that {tensor} tensor ranks can divide"
        yield Fault(key, problem, "leave tensor out, or write tensor = 1")
        return
    yield from _grid_faults(parallelism, model)
    counts = divided(model)
    kv_heads = counts.get("kv_heads", tensor)
    if tensor % kv_heads == 0:  # several ranks then hold copies of one
        counts.pop("kv_heads", None)
    if counts.get("heads") == kv_heads:
        counts.pop("kv_heads", None)  # one message is enough
    if parallelism.sequence:
        counts["sequence_length"] = model.tokens_per_sample
    common = gcd(
        quotient(devices, parallelism.pipeline * parallelism.context), *counts.values()
    )
    fitting = nearest_divisor(common, tensor)
    for name, count in counts.items():
        if count % tensor:
            padded = f"{name} = {-(-count // tensor) * tensor}"
            more = f", or pad: {padded}" if name == "vocabulary" else ""
            yield Fault(
                key,
                f"{tensor} tensor ranks do not divide {name} = {count} of {model.name}"
                f" ({count} / {tensor} = {count / tensor:.6g})",
                f"tensor = {fitting} would fit{more}",
                involves=(f"model.{name}", "model.name", "model.family"),
            )


def _grid_faults(parallelism: ParallelismSection, model: Model) -> Iterator[Fault]:
    """Yield a grid of tensor ranks that is finer than the grid of neurons."""
    if model.smallest_grid is None:
        return
    layer, (height, width) = model.smallest_grid
    rows, columns = rank_grid(parallelism.tensor)
    if rows <= height and columns <= width:
        return
    problem = f"{parallelism.tensor} tensor ranks are a grid of {rows} x {columns}"
    problem += f", finer than the {height} x {width} places of {layer} of {model.name}"
    side = min(height, width, rows)
    yield Fault("parallelism.tensor", problem, f"tensor = {side * side} would fit")
