"""Every valid way to split a model over the devices of a cluster."""

from __future__ import annotations

from collections.abc import Iterator

from models.model import Model
from simulator.batch.splits import Splits
from simulator.plan import Plan
from simulator.plans.building import divided


def all_splits(plan: Plan, *, max_chunks: int = 8) -> Splits:
    """Return all splits of `plan`'s model over its cluster, by the plan's own rules.

    Tensor, pipeline and data degrees multiply to the devices; tensor divides what it
    divides in the model; stages hold equally many blocks; micro-batches divide the
    batch. Chunks above one are interleaved schedules.

    Args:
        plan: model, batch, cluster; its own split is not used.
        max_chunks: most virtual stages a rank [1].
    """
    columns: dict[str, list[int]] = {
        "tensor": [],
        "pipeline": [],
        "data": [],
        "micro": [],
        "chunks": [],
    }
    for split in _all(plan, max_chunks):
        for column, value in zip(columns.values(), split, strict=True):
            column.append(value)
    return Splits.of(columns)


def _all(plan: Plan, max_chunks: int) -> Iterator[tuple[int, int, int, int, int]]:
    model = plan.build_model()
    for tensor, pipeline, data in _degrees(plan, model):
        per_replica = plan.batch.global_ // data
        for micro in _divisors(per_replica):
            for chunks in _chunks(pipeline, per_replica // micro, max_chunks):
                if model.num_blocks % (pipeline * chunks) == 0:
                    yield tensor, pipeline, data, micro, chunks


def _degrees(plan: Plan, model: Model) -> Iterator[tuple[int, int, int]]:
    """Yield degrees of tensor, pipeline and data that use all devices."""
    devices = plan.world_size
    widths = [count for count in divided(model).values() if count]
    for tensor in _divisors(devices):
        if any(width % tensor for width in widths):
            continue
        for pipeline in _divisors(devices // tensor):
            data = devices // (tensor * pipeline)
            if model.num_blocks % pipeline == 0 == plan.batch.global_ % data:
                yield tensor, pipeline, data


def _chunks(pipeline: int, microbatches: int, most: int) -> range:
    """Return the numbers of chunks that a schedule can have; one, if not several."""
    is_interleaved = pipeline > 1 and microbatches % pipeline == 0
    return range(1, (most if is_interleaved else 1) + 1)


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]
