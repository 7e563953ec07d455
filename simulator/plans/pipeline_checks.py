"""Whether a pipeline comes out even: its schedule, micro-batches and stages."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd

from models.model import Model
from simulator.errors import Fault
from simulator.lowering.schedules.table import DESIGNS, Shape
from simulator.plans.records import BatchSection, ParallelismSection
from simulator.plans.splits import nearest_divisor, quotient

# Of one step: beyond this, predictions take hours and say nothing more.
_MAX_ACTIONS = 1_048_576


def schedule_faults(parallelism: ParallelismSection) -> Iterator[Fault]:
    """Yield what the pipeline schedule, or sequence parallelism, lacks."""
    chunks, schedule = parallelism.virtual_stages, parallelism.schedule
    is_interleaved = schedule == "interleaved"
    involves = ("parallelism.schedule",)
    key = "parallelism.virtual_stages"
    if chunks > 1 and not is_interleaved:
        problem = f"{chunks} virtual stages need the interleaved schedule"
        remedy = f'schedule is "{schedule}": change it, or leave virtual_stages out'
        yield Fault(key, problem, remedy, involves=involves)
    if is_interleaved and chunks < 2:
        problem = f"the interleaved schedule needs at least 2, got {chunks}"
        yield Fault(key, problem, "add virtual_stages = 2", involves=involves)
    if is_interleaved and parallelism.pipeline < 2:
        problem = "the interleaved schedule needs at least 2, got 1"
        yield Fault("parallelism.pipeline", problem, involves=involves)
    if parallelism.sequence and parallelism.tensor < 2:
        problem = "sequence parallelism divides over the tensor ranks, and tensor = 1"
        remedy = "raise tensor, or leave sequence out"
        yield Fault("parallelism.sequence", problem, remedy)
    if parallelism.async_tensor and not parallelism.sequence:
        problem = "asynchronous tensor parallelism works on chunks of the sequence"
        involves = ("parallelism.sequence",)
        remedy = "add sequence = true, or leave async_tensor out"
        yield Fault("parallelism.async_tensor", problem, remedy, involves=involves)
    if parallelism.overlap_passes and DESIGNS[schedule].pairs is None:
        able = sorted(name for name, each in DESIGNS.items() if each.pairs is not None)
        problem = f"in {schedule}, no forward and backward can run as one"
        remedy = f"schedules that have such pairs: {', '.join(able)}"
        involves = ("parallelism.schedule",)
        yield Fault("parallelism.overlap_passes", problem, remedy, involves=involves)


def batch_faults(
    batch: BatchSection, parallelism: ParallelismSection, data: int
) -> Iterator[Fault]:
    """Yield whether the batch divides into micro-batches, and not too many."""
    samples, portion = batch.global_, batch.micro * data
    key = "batch.global"
    involves = ("batch.micro", "parallelism.data")
    count, rest = divmod(samples, portion)
    product = f"{samples} samples / ({batch.micro} micro x {data} data)"
    if rest:
        problem = f"{product} = {samples / portion:.4g} micro-batches"
        remedy = f"global = {(count + 1) * portion} would fit"
        yield Fault(key, problem, remedy, involves=involves)
        return
    pipeline = parallelism.pipeline
    if parallelism.schedule == "interleaved" and count % pipeline:
        rounds = f"{count} / {pipeline} = {count / pipeline:.4g}"
        whole = -(-count // pipeline) * pipeline
        yield Fault(
            key,
            "the interleaved schedule takes micro-batches in rounds of the pipeline: "
            f"{product} = {count} micro-batches, {rounds} rounds",
            f"global = {whole * portion} would fit",
            involves=(*involves, "parallelism.pipeline"),
        )
    yield from _shape_faults(parallelism, count, key)
    stages = parallelism.num_stages
    if count * stages > _MAX_ACTIONS:
        problem = f"{count} micro-batches x {stages} stages = {count * stages} passes"
        remedy = f"at most {_MAX_ACTIONS} are simulated; raise micro"
        yield Fault(key, problem, remedy, involves=involves)


def _shape_faults(
    parallelism: ParallelismSection, count: int, key: str
) -> Iterator[Fault]:
    """Yield what a schedule other than the interleaved one asks of micro-batches."""
    name = parallelism.schedule
    shape = Shape(parallelism.pipeline, count, parallelism.virtual_stages)
    problem = DESIGNS[name].allows(shape)
    if problem and name != "interleaved":
        problem = f"the {name} schedule {problem}, got {count} micro-batches"
        remedy = "change global or micro, or choose another schedule, such as zb-h1"
        involves = ("parallelism.schedule", "parallelism.pipeline", "batch.micro")
        yield Fault(key, problem, remedy, involves=involves)


def stage_faults(
    parallelism: ParallelismSection, model: Model, devices: int | None
) -> Iterator[Fault]:
    """Yield whether the blocks divide over the stages."""
    blocks, stages = model.num_blocks, parallelism.num_stages
    if parallelism.stages is not None:
        yield from _given_stage_faults(parallelism, parallelism.stages, model)
        return
    if parallelism.balance == "time" and blocks >= stages:
        return
    if blocks % stages == 0:
        return
    pipeline, chunks = parallelism.pipeline, stages // parallelism.pipeline
    split = f"{pipeline} pipeline" + (f" x {chunks} virtual" if chunks > 1 else "")
    problem = f"{blocks} blocks of {model.name} / ({split} stages)"
    if blocks % chunks == 0:
        both = gcd(
            blocks // chunks,
            quotient(devices, parallelism.tensor * parallelism.context),
        )
        remedy = f"pipeline = {nearest_divisor(both, pipeline)} would fit"
        if blocks >= stages:
            remedy += ', or balance = "time"'
    else:
        remedy = f"virtual_stages has to divide {blocks} as well"
    yield Fault(
        "parallelism.pipeline",
        f"{problem} = {blocks / stages:.4g} blocks each",
        remedy,
        involves=("parallelism.virtual_stages", "model.layers", "model.name"),
    )


def _given_stage_faults(
    parallelism: ParallelismSection, sizes: tuple[int, ...], model: Model
) -> Iterator[Fault]:
    """Yield what is wrong with stages whose blocks the plan counts."""
    key, stages = "parallelism.stages", parallelism.num_stages
    if parallelism.balance != "layers":
        yield Fault(key, "says what balance is to find", "leave one of the two out")
    if len(sizes) != stages:
        problem = f"has {len(sizes)} entries, but there are {stages} stages"
        yield Fault(key, problem, involves=("parallelism.pipeline",))
        return
    if sum(sizes) != model.num_blocks:
        problem = f"counts {sum(sizes)} blocks, but {model.name} has {model.num_blocks}"
        yield Fault(key, problem, involves=("model.layers", "model.name"))
    roles = {layer.role for layer in model.layers}
    may_be_empty = {0} if "embedding" in roles else set()
    may_be_empty |= {stages - 1} if "head" in roles else set()
    empty = [i for i, size in enumerate(sizes) if size == 0 and i not in may_be_empty]
    if empty:
        yield Fault(key, f"leaves stage {empty[0]} without a layer")
