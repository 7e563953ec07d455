"""The analytical engine for many plans at once: closed forms over NumPy arrays.

All plans share a model and a cluster and differ in how they are split. Layers are
priced once per distinct (tensor, micro-batch) by the same formulas as everywhere, in
one vectorised pass; stages, pipeline and gradient sums are then array arithmetic.

    T = (m - 1) max aᵢ + Σᵢ (fᵢ + bᵢ) + 2 (p - 1) c  + gradients + norm + optimizer

with fᵢ, bᵢ the passes of stage i, c a transfer, and aᵢ = fᵢ + bᵢ + the transfers of
stage i: bottleneck plus fill and drain.

Limits: exact for equal stages and free transfers; otherwise the bottleneck stage is
taken to run without gaps, and of gradients summed during the last backward, what is
exposed is what does not fit under it. Tests bound the difference to the longest path.

Source: Narayanan et al., arXiv:2104.04473, section 2.2 (bubble of both schedules).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from models.model import Layer, Model
from models.work import Share
from simulator.costs.elementwise import ceil, maximum, minimum, where
from simulator.job import make_pricer
from simulator.lowering.formats import (
    element_bytes,
    optimizer_bytes,
    optimizer_traffic,
)
from simulator.lowering.passes import layer_passes
from simulator.lowering.stages import layer_parameters, tied_parameters
from simulator.memory import kept_bytes
from simulator.placement import Degrees
from simulator.plan import Plan
from simulator.price import NOTHING, Price
from simulator.pricing import Pricer
from simulator.workload import Axis, Message, Pattern
from topologies.profile import Profile, load_profile
from topologies.units import Bytes, Count, Seconds

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """How each plan of a batch is split; every field has one entry per plan.

    Fields:
        tensor, pipeline, data: degrees; their product is the cluster's devices [1].
        micro: samples of a micro-batch [1].
        chunks: virtual stages a rank; above 1 means interleaved [1].
    """

    tensor: Count
    pipeline: Count
    data: Count
    micro: Count
    chunks: Count

    def __len__(self) -> int:
        """Return the number of plans."""
        return int(np.size(self.tensor))

    @classmethod
    def of(cls, columns: Mapping[str, object]) -> Splits:
        """Return the splits in columns of equal length, as floats."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: _broadcasting(columns[name]) for name in names})


@dataclass(frozen=True, slots=True, eq=False)
class BatchResult:
    """Predictions, one entry per plan.

    Fields:
        step_time: of one optimizer step [s].
        memory_peak: of the fuller of first and last stage [B].
        fits: whether that is within the device's memory.
    """

    step_time: Array
    memory_peak: Array
    fits: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Layers:
    """Prices and sizes of the three parts of a model, one entry per plan.

    Fields:
        embedding, block, head: (forward, backward) prices.
        parameters: of the same three, on one tensor rank [1].
        kept: activation bytes of the same three per micro-batch [B].
    """

    embedding: tuple[Price, Price]
    block: tuple[Price, Price]
    head: tuple[Price, Price]
    parameters: tuple[Count, Count, Count]
    kept: tuple[Bytes, Bytes, Bytes]
    recomputed: Bytes


def predict_batch(
    plan: Plan, splits: Splits, *, profile: Profile | None = None
) -> BatchResult:
    """Return predictions of `plan` under every one of `splits`.

    Args:
        plan: everything that the batch shares: model, batch size, cluster, training,
            recomputation, sequence parallelism; its own split is not used.
        splits: valid splits, such as `simulator.splits.all_splits` lists.
        profile: constants to price with; the device's own if left out.
    """
    model, cluster = plan.build_model(), plan.build_cluster()
    chosen = profile or load_profile(cluster.device.profile)
    layers = _price_layers(plan, model, splits, chosen)
    pricer = _pricer(plan, splits, chosen)
    passes = _passes_time(plan, model, layers, splits, pricer)
    parameters = _parameters(model, layers, splits)
    ending = _step_end(plan, model, layers, parameters, splits, pricer)
    memory = _memory(plan, model, layers, parameters, splits, chosen)
    total, peak = np.asarray(passes + ending), np.asarray(memory)
    return BatchResult(total, peak, peak <= cluster.device.memory)


def _pricer(plan: Plan, splits: Splits, profile: Profile) -> Pricer:
    own = make_pricer(plan, plan.build_cluster(), profile)
    degrees = Degrees(splits.tensor, splits.data, splits.pipeline)
    return replace(own, degrees=degrees)


def _price_layers(
    plan: Plan, model: Model, splits: Splits, profile: Profile
) -> _Layers:
    """Return layer prices per plan, computed once per distinct (tensor, micro)."""
    pairs = np.stack([np.asarray(splits.tensor), np.asarray(splits.micro)])
    distinct, inverse = np.unique(pairs, axis=1, return_inverse=True)
    index = inverse.ravel()
    tensor, micro = (_broadcasting(row) for row in distinct)
    own = make_pricer(plan, plan.build_cluster(), profile)
    pricer = replace(own, degrees=Degrees(tensor, plan.world_size / tensor, 1))
    share = Share(
        samples=micro,
        tensor=tensor,
        sequence=tensor if plan.parallelism.sequence else 1,
        element=element_bytes(plan.training.precision),
    )
    recompute = plan.parallelism.recompute

    def priced(role: str) -> tuple[Price, Price]:
        forward = backward = NOTHING
        for layer in _parts(model, role):
            passes = layer_passes(layer, share, recompute)
            forward = forward.then(pricer.items(passes.forward, "forward"))
            backward = pricer.items(passes.backward, "backward").then(backward)
        return _spread(forward, index), _spread(backward, index)

    def sized(function: Callable[[Layer], float], role: str) -> float:
        total = sum((function(layer) for layer in _parts(model, role)), 0.0)
        return _gathered(total, index)

    roles = ("embedding", "block", "head")
    embedding, block, head = (priced(role) for role in roles)
    parameters = [
        sized(
            lambda layer: layer_parameters(layer, share.tensor, is_tied_copy=False),
            role,
        )
        for role in roles
    ]
    kept = [
        sized(lambda layer: kept_bytes(layer, share, recompute), role) for role in roles
    ]
    recomputed = sized(
        lambda layer: (
            kept_bytes(layer, share, "none") - kept_bytes(layer, share, recompute)
        ),
        "block",
    )
    return _Layers(
        embedding,
        block,
        head,
        (parameters[0], parameters[1], parameters[2]),
        (kept[0], kept[1], kept[2]),
        recomputed,
    )


def _parts(model: Model, role: str) -> list[Layer]:
    """Return the layers of a role; equal blocks once."""
    layers = [layer for layer in model.layers if layer.role == role]
    if role != "block":
        return layers
    if len({id(layer) for layer in layers}) != 1:
        raise ValueError("the batch engine takes models with equal blocks only")
    return layers[:1]


def _spread(price: Price, index: NDArray[np.intp]) -> Price:
    """Return a price per plan from one per distinct pair."""
    return Price(
        *(_gathered(getattr(price, field.name), index) for field in fields(Price))
    )


def _gathered(value: float, index: NDArray[np.intp]) -> float:
    """Return one entry per plan from one per distinct pair; plain numbers stay."""
    return value if np.ndim(value) == 0 else _broadcasting(np.asarray(value)[index])


def _broadcasting(values: object) -> float:
    """Return an array of floats, typed as the one number that formulas are written for."""
    return cast("float", np.asarray(values, float))


def _passes_time(
    plan: Plan, model: Model, layers: _Layers, splits: Splits, pricer: Pricer
) -> float:
    """Return the time from the first forward to the last backward."""
    pipeline, chunks = splits.pipeline, splits.chunks
    microbatches = plan.batch.global_ / (splits.micro * splits.data)
    count = model.num_blocks / (pipeline * chunks)
    begin = pricer.host_work("forward")
    block_forward = layers.block[0].repeat(count)
    block_backward = layers.block[1].repeat(count)
    forward = {
        "first": begin.then(layers.embedding[0]).then(block_forward),
        "middle": begin.then(block_forward),
        "last": begin.then(block_forward).then(layers.head[0]),
    }
    backward = {
        "first": block_backward.then(layers.embedding[1]),
        "middle": block_backward,
        "last": layers.head[1].then(block_backward),
    }
    single = (
        forward["first"]
        .then(layers.head[0])
        .then(layers.head[1])
        .then(backward["first"])
    )
    send = _send_time(plan, model, splits, pricer)
    is_gpipe = plan.parallelism.schedule == "gpipe"
    directions = (
        [_issued(forward), _issued(backward)]
        if is_gpipe
        else [_added(_issued(forward), _issued(backward))]
    )
    num_sends = 1 if is_gpipe else 2
    total = 0.0
    for stage in directions:
        others = (chunks - 1) * stage["middle"] + num_sends * chunks * send
        ends = maximum(stage["first"], stage["last"]) - send
        middle = where(pipeline > 2, stage["middle"], 0.0)
        bottleneck = others + maximum(ends, middle)
        fill = stage["first"] + stage["last"] + (pipeline - 2) * stage["middle"]
        drain = (pipeline - 1) * num_sends * send
        again = (chunks - 1) * (stage["middle"] + num_sends * send)
        total = total + (microbatches - 1) * bottleneck + again + fill + drain
    return where(pipeline > 1, total, microbatches * single.issued)


def _issued(stages: dict[str, Price]) -> dict[str, Seconds]:
    return {name: price.issued for name, price in stages.items()}


def _added(one: dict[str, Seconds], other: dict[str, Seconds]) -> dict[str, Seconds]:
    return {name: time + other[name] for name, time in one.items()}


def _send_time(plan: Plan, model: Model, splits: Splits, pricer: Pricer) -> Seconds:
    """Return the time of one transfer between stages; far ones where any is far."""
    block = next(layer for layer in model.layers if layer.role == "block")
    element = element_bytes(plan.training.precision)
    size = element * block.output_elements * splits.micro
    if plan.parallelism.sequence:
        size = size / splits.tensor
    last = splits.pipeline - 1
    pair = cast("tuple[int, int]", (last - 1, last))
    message = Message("send", "send", "pipeline", size, pair)
    return pricer.item(message, "message").issued


def _parameters(model: Model, layers: _Layers, splits: Splits) -> tuple[float, float]:
    """Return the parameters of the first and of the last rank."""
    embedding, block, head = layers.parameters
    blocks = block * model.num_blocks / splits.pipeline
    tied = sum(
        (tied_parameters(layer, 1.0) for layer in model.layers if layer.tied_to), 0.0
    )
    is_single = splits.pipeline == 1
    first = blocks + embedding + where(is_single, head, 0.0)
    last = blocks + head + where(is_single, embedding, tied / splits.tensor)
    return first, last


def _step_end(  # noqa: PLR0913 - everything that follows the passes
    plan: Plan,
    model: Model,
    layers: _Layers,
    parameters: tuple[float, float],
    splits: Splits,
    pricer: Pricer,
) -> float:
    """Return the time from the last backward to the end of the step."""
    gradient = element_bytes(plan.training.gradient_precision)
    first, last = parameters
    fullest = maximum(first, last)
    sync = _all_reduce(pricer, "data", gradient * first)
    if plan.synchronization.overlap:
        sync = _exposed(plan, model, layers, gradient * first, splits, pricer)
    tied = sum(
        (tied_parameters(layer, 1.0) for layer in model.layers if layer.tied_to), 0.0
    )
    embedding = where(
        (splits.pipeline > 1) & (tied > 0),
        _all_reduce(pricer, "embedding", gradient * tied / splits.tensor),
        0.0,
    )
    norm = _all_reduce(pricer, "model", 4.0)
    traffic = optimizer_traffic(plan.training.optimizer, plan.training.precision)
    device = pricer.cluster.device
    bandwidth = pricer.profile.memory_efficiency * device.memory_bandwidth
    moved = traffic * fullest / bandwidth
    optimizer = pricer.host_work("step").issued + moved
    return sync + embedding + norm + optimizer


def _all_reduce(pricer: Pricer, axis: Axis, size: Bytes) -> float:
    pattern: Pattern = "all-reduce"
    message = Message("gradients", pattern, axis, size)
    return pricer.item(message, "message").issued


def _exposed(  # noqa: PLR0913 - everything that overlaps
    plan: Plan,
    model: Model,
    layers: _Layers,
    size: Bytes,
    splits: Splits,
    pricer: Pricer,
) -> float:
    """Return what bucketed gradient sums add after the last backward."""
    blocks = model.num_blocks / splits.pipeline
    gradient = element_bytes(plan.training.gradient_precision)
    per_bucket = ceil(plan.synchronization.bucket / (gradient * layers.parameters[1]))
    num_buckets = ceil(blocks / per_bucket) + 1
    one = _all_reduce(pricer, "data", size / num_buckets)
    backward = layers.block[1].issued * maximum(blocks - per_bucket, 0)
    exposed = maximum(one, num_buckets * one - backward)
    return where(splits.data > 1, exposed, 0.0)


def _memory(  # noqa: PLR0913 - everything that has to fit
    plan: Plan,
    model: Model,
    layers: _Layers,
    parameters: tuple[float, float],
    splits: Splits,
    profile: Profile,
) -> float:
    """Return the memory of the fuller of first and last rank [B]."""
    training = plan.training
    per_parameter = (
        element_bytes(training.precision)
        + element_bytes(training.gradient_precision)
        + optimizer_bytes(training.optimizer, training.precision)
    )
    embedding, block, head = layers.kept
    blocks = block * model.num_blocks / (splits.pipeline * splits.chunks)
    microbatches = plan.batch.global_ / (splits.micro * splits.data)
    pipeline, chunks = splits.pipeline, splits.chunks
    depth = minimum(microbatches, pipeline)
    if plan.parallelism.schedule == "gpipe":
        depth = microbatches
    warm_up = 2 * (pipeline - 1) + (chunks - 1) * pipeline + 1
    in_flight = where(chunks > 1, minimum(warm_up, microbatches * chunks), depth)
    is_single = pipeline == 1
    first_chunk = where(chunks > 1, minimum(microbatches, 2 * pipeline), depth)
    first = in_flight * blocks + first_chunk * embedding
    first = first + where(is_single, head, 0.0)
    ending = where(chunks > 1, (chunks - 1) * pipeline + 1, 1.0)
    last = minimum(ending, microbatches * chunks) * blocks + head
    last = last + where(is_single, embedding, 0.0)
    peak = maximum(
        per_parameter * parameters[0] + first, per_parameter * parameters[1] + last
    )
    buckets = where(splits.data > 1, 2 * plan.synchronization.bucket, 0.0)
    buffers = buckets if plan.synchronization.overlap else 0.0
    return peak + layers.recomputed + buffers + profile.device_overhead
