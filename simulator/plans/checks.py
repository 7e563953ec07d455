"""How the keys of a plan have to fit together; each answer shows the arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import gcd
from typing import NamedTuple

from models import catalogue as networks
from models.model import Model
from simulator.errors import Fault
from simulator.plans.building import build_model, divided, has_attention
from simulator.plans.fields import MAX_DEVICES, shown
from simulator.plans.messages import choices
from simulator.plans.records import (
    DERIVED,
    BatchSection,
    ClusterSection,
    ModelSection,
    ParallelismSection,
    Section,
    TrainingSection,
)
from topologies import catalogue

# Of one step: beyond this, predictions take hours and say nothing more.
MAX_ACTIONS = 1_048_576

_SHAPE = ("layers", "hidden", "heads", "sequence_length", "vocabulary")
_NEEDED = {
    "gpt": _SHAPE,
    "bert": _SHAPE,
    "llama": (*_SHAPE, "feed_forward"),
    "mlp": ("widths",),
}


class Sections(NamedTuple):
    """The sections of a plan that are valid in themselves; None for the others."""

    model: ModelSection | None = None
    batch: BatchSection | None = None
    parallelism: ParallelismSection | None = None
    training: TrainingSection | None = None
    cluster: ClusterSection | None = None


def faults_between(found: Mapping[str, Section | str]) -> list[Fault]:
    """Return what does not fit between the sections in `found`, all at once."""
    known = {name: found[name] for name in Sections._fields if name in found}
    return list(_faults(Sections(**known)))  # type: ignore[arg-type]  # by name


def data_degree(parallelism: ParallelismSection, cluster: ClusterSection) -> int | None:
    """Return d, derived from the cluster if it is not given; None if impossible."""
    if "data" in parallelism.model_fields_set:
        return parallelism.data
    share = parallelism.tensor * parallelism.pipeline
    return None if cluster.num_devices % share else cluster.num_devices // share


def _faults(sections: Sections) -> Iterator[Fault]:
    model = None
    if sections.model:
        model_faults = list(_model_faults(sections.model))
        yield from model_faults
        if not model_faults:
            model = build_model(sections.model)
    if sections.cluster:
        yield from _cluster_faults(sections.cluster)
    if sections.cluster and sections.training:
        yield from _precision_faults(sections.training, sections.cluster)
    if sections.parallelism:
        yield from _mesh_faults(sections.parallelism, sections)
        if model:
            yield from _stage_faults(sections.parallelism, model)
            yield from _tensor_faults(sections.parallelism, model)
            yield from _recompute_faults(sections.parallelism, model)


def _mesh_faults(
    parallelism: ParallelismSection, sections: Sections
) -> Iterator[Fault]:
    yield from _schedule_faults(parallelism)
    if not sections.cluster:
        return
    degree_faults = list(_degree_faults(parallelism, sections.cluster))
    yield from degree_faults
    data = data_degree(parallelism, sections.cluster)
    if sections.batch and data and not degree_faults:
        yield from _batch_faults(sections.batch, parallelism, data)


def _model_faults(model: ModelSection) -> Iterator[Fault]:
    if model.name and model.family:
        problem = "both a name and a family are given"
        yield Fault("model", problem, "keep one of the two", involves=("model.family",))
    elif model.family:
        yield from _family_faults(model, model.family)
    elif not model.name:
        problem = "needs a name, or a family with its dimensions"
        remedy = 'add name = "gpt3-175b"; `simulate list models` lists all'
        yield Fault("model", problem, remedy)
    elif model.name in networks.FAMILIES:
        problem = f"'{model.name}' is a family, not a published model"
        yield Fault("model.name", problem, f'write family = "{model.name}"')
    elif model.name not in networks.names():
        remedy = choices(model.name, networks.names(), "`simulate list models`")
        yield Fault("model.name", f"unknown model {shown(model.name)}", remedy)
    else:
        yield from _dimension_faults(model)


def _family_faults(model: ModelSection, family: str) -> Iterator[Fault]:
    given = model.model_dump(exclude={"name", "family"}, exclude_none=True)
    needed = _NEEDED[family]
    lacking = [name for name in needed if name not in given]
    if lacking:
        problem = f"the {family} family needs {', '.join(needed)}"
        remedy = f"add {', '.join(lacking)}"
        yield Fault("model.family", problem, remedy)
    else:
        yield from _dimension_faults(model)


def _dimension_faults(model: ModelSection) -> Iterator[Fault]:
    """Yield what the model's builder refuses; it names the dimension first."""
    try:
        build_model(model)
    except ValueError as error:
        name, colon, problem = str(error).partition(": ")
        if colon and name in ModelSection.model_fields:
            source = ("model.name", "model.family")
            yield Fault(f"model.{name}", problem, involves=source)
        else:
            yield Fault("model", str(error), involves=("model.name", "model.family"))


def _cluster_faults(cluster: ClusterSection) -> Iterator[Fault]:
    yield from _name_fault("cluster.device", "device", cluster.device)
    nodes, devices = cluster.nodes, cluster.devices_per_node
    if cluster.num_devices > MAX_DEVICES:
        problem = f"{nodes} x {devices} = {cluster.num_devices} devices"
        yield Fault("cluster.nodes", problem, f"at most {MAX_DEVICES} are simulated")
    links = catalogue.link_names()
    if cluster.fabric is not None:
        yield from _name_fault("cluster.fabric", "link", cluster.fabric)
    elif devices > 1:
        problem = f"is missing: {devices} devices in a node need a link between them"
        remedy = f'add fabric = "nvlink-3" or another link: {", ".join(links)}'
        yield Fault("cluster.fabric", problem, remedy)
    if cluster.network is not None:
        yield from _name_fault("cluster.network.link", "link", cluster.network.link)
    elif nodes > 1:
        problem = f"the table is missing: {nodes} nodes need a network between them"
        remedy = 'add [cluster.network] with link = "infiniband-hdr"'
        yield Fault("cluster.network", problem, remedy, involves=("cluster.nodes",))


def _name_fault(key: str, kind: str, name: str) -> Iterator[Fault]:
    is_device = kind == "device"
    try:
        catalogue.device(name) if is_device else catalogue.link(name)
    except catalogue.UnknownName:
        names = catalogue.device_names() if is_device else catalogue.link_names()
        remedy = choices(name, names, f"`simulate list {kind}s`")
        yield Fault(key, f"unknown {kind} {shown(name)}", remedy)


def _precision_faults(
    training: TrainingSection, cluster: ClusterSection
) -> Iterator[Fault]:
    try:
        peak = catalogue.device(cluster.device).peak
    except catalogue.UnknownName:
        return
    if training.precision in peak:
        return
    is_default = "precision" not in training.model_fields_set
    what = f"{training.precision}{' (the default)' if is_default else ''}"
    built = [name for name in ("fp32", "tf32", "fp16", "bf16") if name in peak]
    yield Fault(
        "training.precision",
        f"{cluster.device} does not offer {what}",
        f"allowed on it: {', '.join(built)}",
        involves=("cluster.device",),
    )


def _degree_faults(
    parallelism: ParallelismSection, cluster: ClusterSection
) -> Iterator[Fault]:
    tensor, pipeline = parallelism.tensor, parallelism.pipeline
    devices = cluster.num_devices
    share = tensor * pipeline
    machine = f"{cluster.nodes} x {cluster.devices_per_node} = {devices}"
    involves = (
        *("parallelism.data", "parallelism.tensor", "parallelism.pipeline"),
        *("cluster.nodes", "cluster.devices_per_node"),
    )
    is_given = "data" in parallelism.model_fields_set
    total = share * (parallelism.data if is_given else 1)
    if total == devices or (not is_given and devices % share == 0):
        return
    split = f"{tensor} tensor x {pipeline} pipeline"
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
        remedy = _dividing_degrees(tensor, pipeline, devices)
    yield Fault("parallelism.data", problem, remedy, involves=involves)


def _dividing_degrees(tensor: int, pipeline: int, devices: int) -> str:
    """Return which change of one degree makes tensor x pipeline divide `devices`."""
    if devices % tensor == 0:
        near = nearest_divisor(devices // tensor, pipeline)
        return f"pipeline = {near} would fit"
    if devices % pipeline == 0:
        near = nearest_divisor(devices // pipeline, tensor)
        return f"tensor = {near} would fit"
    return f"tensor x pipeline has to divide {devices}"


def nearest_divisor(number: int, wanted: int) -> int:
    """Return the divisor of `number` nearest to `wanted`, the smaller of two.

    >>> nearest_divisor(96, 7)
    6
    """
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    divisors = sorted({*small, *(number // d for d in small)})
    return min(divisors, key=lambda divisor: abs(divisor - wanted))


def _schedule_faults(parallelism: ParallelismSection) -> Iterator[Fault]:
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


def _batch_faults(
    batch: BatchSection, parallelism: ParallelismSection, data: int
) -> Iterator[Fault]:
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
    stages = pipeline * parallelism.virtual_stages
    if count * stages > MAX_ACTIONS:
        problem = f"{count} micro-batches x {stages} stages = {count * stages}"
        remedy = f"at most {MAX_ACTIONS} are simulated; raise micro"
        yield Fault(key, problem, remedy, involves=involves)


def _stage_faults(parallelism: ParallelismSection, model: Model) -> Iterator[Fault]:
    pipeline, chunks = parallelism.pipeline, parallelism.virtual_stages
    blocks, stages = model.num_blocks, pipeline * chunks
    if blocks % stages == 0:
        return
    split = f"{pipeline} pipeline" + (f" x {chunks} virtual" if chunks > 1 else "")
    problem = f"{blocks} blocks of {model.name} / ({split} stages)"
    if blocks % chunks == 0:
        remedy = f"pipeline = {nearest_divisor(blocks // chunks, pipeline)} would fit"
    else:
        remedy = f"virtual_stages has to divide {blocks} as well"
    yield Fault(
        "parallelism.pipeline",
        f"{problem} = {blocks / stages:.4g} blocks each",
        remedy,
        involves=("parallelism.virtual_stages", "model.layers", "model.name"),
    )


def _recompute_faults(parallelism: ParallelismSection, model: Model) -> Iterator[Fault]:
    if parallelism.recompute == "selective" and not has_attention(model):
        problem = f"selective recomputation drops attention, {model.name} has none"
        yield Fault("parallelism.recompute", problem, "allowed: none, full")


def _tensor_faults(parallelism: ParallelismSection, model: Model) -> Iterator[Fault]:
    tensor = parallelism.tensor
    if tensor == 1:
        return
    key = "parallelism.tensor"
    if not model.can_split_tensors:
        problem = f"{model.name} has no operator that {tensor} tensor ranks can divide"
        yield Fault(key, problem, "leave tensor out, or write tensor = 1")
        return
    counts = divided(model)
    kv_heads = counts.get("kv_heads", tensor)
    if tensor % kv_heads == 0:  # several ranks then hold copies of one
        counts.pop("kv_heads", None)
    if counts.get("heads") == kv_heads:
        counts.pop("kv_heads", None)  # one message is enough
    if parallelism.sequence:
        counts["sequence_length"] = model.tokens_per_sample
    fitting = nearest_divisor(gcd(*counts.values()), tensor)
    for name, count in counts.items():
        if count % tensor:
            yield Fault(
                key,
                f"{tensor} tensor ranks do not divide {name} = {count} of {model.name}"
                f" ({count} / {tensor} = {count / tensor:.6g})",
                f"tensor = {fitting} would fit",
                involves=(f"model.{name}", "model.name", "model.family"),
            )


def settled(
    parallelism: ParallelismSection, cluster: ClusterSection
) -> ParallelismSection:
    """Return `parallelism` with `data` worked out, still marked as not given."""
    data = data_degree(parallelism, cluster)
    values = {**dict(parallelism), "data": data or DERIVED}
    given = parallelism.model_fields_set
    return ParallelismSection.model_construct(_fields_set=set(given), **values)
