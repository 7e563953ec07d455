"""How the keys of a plan have to fit together; each answer shows the arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from models import catalogue as networks
from models.model import Model
from simulator.collectives.table import TABLE
from simulator.errors import Fault
from simulator.plans.background import background_faults
from simulator.plans.building import build_model
from simulator.plans.fields import MAX_DEVICES, shown
from simulator.plans.layer_faults import layer_faults
from simulator.plans.messages import choices
from simulator.plans.network_checks import network_faults, num_network_nodes
from simulator.plans.node_checks import node_faults, order_faults
from simulator.plans.records import (
    DERIVED,
    BatchSection,
    ClusterSection,
    DeviceStepSection,
    ModelSection,
    ParallelismSection,
    Section,
    StageTimesSection,
    SynchronizationSection,
    TrainingSection,
)
from simulator.plans.server_checks import server_faults
from simulator.plans.sharding_checks import kept_faults, sharding_faults
from simulator.plans.splits import (
    batch_faults,
    data_degree,
    degree_faults,
    group_faults,
    recompute_faults,
    schedule_faults,
    stage_faults,
    tensor_faults,
)
from simulator.plans.token_checks import context_faults, expert_faults
from topologies import catalogue
from topologies.profile import (
    UnknownProfileError,
    is_file_name,
    load_profile,
    profile_names,
)

_SHAPE = ("layers", "hidden", "heads", "sequence_length", "vocabulary")
_CALIBRATE = "`simulate calibrate --out FILE.toml` writes one"
_NEEDED = {
    "gpt": _SHAPE,
    "bert": _SHAPE,
    "llama": (*_SHAPE, "feed_forward"),
    "mlp": ("widths",),
    "lstm": ("layers", "hidden", "sequence_length", "vocabulary"),
}


class Sections(NamedTuple):
    """The sections of a plan that are valid in themselves; None for the others."""

    model: ModelSection | None = None
    batch: BatchSection | None = None
    parallelism: ParallelismSection | None = None
    training: TrainingSection | None = None
    synchronization: SynchronizationSection | None = None
    stage_times: StageTimesSection | None = None
    device_step: DeviceStepSection | None = None
    cluster: ClusterSection | None = None


def faults_between(found: Mapping[str, Section | str]) -> list[Fault]:
    """Return what does not fit between the sections in `found`, all at once."""
    known = {name: found[name] for name in Sections._fields if name in found}
    return list(_faults(Sections(**known)))  # type: ignore[arg-type]  # by name


def _faults(sections: Sections) -> Iterator[Fault]:
    model = None
    if sections.model:
        model_faults = list(_model_faults(sections.model))
        yield from model_faults
        if not model_faults:
            model = build_model(sections.model)
    if sections.cluster:
        own = list(_cluster_faults(sections.cluster))
        yield from own or _machine_faults(sections.cluster)
    if sections.cluster and sections.synchronization:
        order = sections.synchronization.ring_order
        yield from order_faults(order, sections.cluster.nodes)
    if sections.training:
        yield from _training_faults(sections.training, sections)
    yield from _server_and_time_faults(sections)
    if sections.parallelism:
        yield from _mesh_faults(sections.parallelism, sections)
        if model:
            devices = sections.cluster.num_devices if sections.cluster else None
            yield from stage_faults(sections.parallelism, model, devices)
            yield from tensor_faults(sections.parallelism, model, devices)
            yield from recompute_faults(sections.parallelism, model)
            yield from context_faults(sections.parallelism, model, devices)
            yield from expert_faults(sections.parallelism, model, devices)
            yield from _layer_faults(sections.parallelism, model, sections)


def _training_faults(training: TrainingSection, sections: Sections) -> Iterator[Fault]:
    """Yield what is wrong with number formats."""
    yield from kept_faults(training)
    if sections.cluster:
        yield from _precision_faults(training, sections.cluster)
    yield from _fixed_point_faults(training)
    if sections.model:
        yield from _scale_faults(sections.model, training)


def _layer_faults(
    parallelism: ParallelismSection, model: Model, sections: Sections
) -> Iterator[Fault]:
    """Yield what is wrong with choices for layers by name."""
    cluster = sections.cluster
    data = data_degree(parallelism, cluster) if cluster else None
    yield from layer_faults(parallelism, model, sections.batch, data)


def _server_and_time_faults(sections: Sections) -> Iterator[Fault]:
    if sections.synchronization:
        yield from server_faults(
            sections.synchronization,
            sections.parallelism,
            sections.cluster,
            sections.stage_times,
        )
    if sections.stage_times and sections.device_step:
        problem = "there is [stage_times] too, and both say how long passes take"
        remedy, others = "keep one of the two", ("stage_times",)
        yield Fault("device_step", problem, remedy, involves=others)


def _mesh_faults(
    parallelism: ParallelismSection, sections: Sections
) -> Iterator[Fault]:
    yield from schedule_faults(parallelism)
    yield from sharding_faults(parallelism)
    if not sections.cluster or sections.cluster.num_devices > MAX_DEVICES:
        return
    uneven = list(degree_faults(parallelism, sections.cluster))
    yield from uneven
    data = data_degree(parallelism, sections.cluster)
    if sections.batch and data and not uneven:
        yield from batch_faults(sections.batch, parallelism, data)
    if data and not uneven:
        yield from group_faults(parallelism, data)
        if sections.synchronization:
            replicas = data * parallelism.context
            yield from _algorithm_faults(sections.synchronization, replicas)


def _algorithm_faults(
    synchronization: SynchronizationSection, replicas: int
) -> Iterator[Fault]:
    row = TABLE.get(("all-reduce", synchronization.algorithm))
    if row is not None and (problem := row.allows(replicas)):
        remedy = "choose another, such as ring or auto"
        yield Fault("synchronization.algorithm", problem, remedy)


def _model_faults(model: ModelSection) -> Iterator[Fault]:
    sources = [name for name in ("name", "family", "file") if getattr(model, name)]
    if len(sources) > 1:
        problem = f"both a {sources[0]} and a {sources[1]} are given"
        second = (f"model.{sources[1]}",)
        yield Fault("model", problem, "keep one of the two", involves=second)
    elif model.family:
        yield from _family_faults(model, model.family)
    elif model.file:
        yield from _dimension_faults(model)
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
    needed = _NEEDED[family]
    lacking = [name for name in needed if getattr(model, name) is None]
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
            source = ("model.name", "model.family", "model.file")
            yield Fault(f"model.{name}", problem, involves=source)
        else:
            yield Fault("model", str(error), involves=("model.name", "model.family"))


def _cluster_faults(cluster: ClusterSection) -> Iterator[Fault]:
    yield from _name_fault("cluster.device", "device", cluster.device)
    yield from _profile_fault(cluster.profile)
    nodes, devices = cluster.nodes, cluster.devices_per_node
    if cluster.num_devices > MAX_DEVICES:
        problem = f"{nodes} x {devices} = {cluster.num_devices} devices"
        yield Fault("cluster.nodes", problem, f"at most {MAX_DEVICES} are simulated")
    if cluster.fabric is not None:
        yield from _name_fault("cluster.fabric", "link", cluster.fabric)
    elif devices > 1:
        problem = f"is missing: {devices} devices in a node need a link between them"
        usual = _usual_fabric(cluster)
        remedy = f'add fabric = "{usual}" or another of `simulate list links`'
        yield Fault("cluster.fabric", problem, remedy)
    if cluster.network is not None:
        yield from _name_fault("cluster.network.link", "link", cluster.network.link)
    elif nodes > 1:
        problem = f"the table is missing: {nodes} nodes need a network between them"
        remedy = 'add [cluster.network] with link = "infiniband-hdr"'
        yield Fault("cluster.network", problem, remedy, involves=("cluster.nodes",))
    for name in ("pcie", "bridge", "socket"):
        link = getattr(cluster.node, name, None)
        if link is not None:
            yield from _name_fault(f"cluster.node.{name}", "link", link)


def _machine_faults(cluster: ClusterSection) -> Iterator[Fault]:
    """Yield what is wrong with the graphs of a cluster whose links are known."""
    wrong = [*network_faults(cluster), *node_faults(cluster)]
    yield from wrong
    if cluster.background and not wrong:
        yield from background_faults(cluster, num_network_nodes(cluster))


def _profile_fault(name: str | None) -> Iterator[Fault]:
    if name is not None and is_file_name(name):
        try:
            load_profile(name)
        except UnknownProfileError as error:
            yield Fault("cluster.profile", str(error), _CALIBRATE)
    elif name is not None and name not in profile_names():
        remedy = choices(name, profile_names(), "`simulate list profiles`")
        yield Fault("cluster.profile", f"unknown profile {shown(name)}", remedy)


def _device_file_fault(key: str, name: str) -> Iterator[Fault]:
    """Yield why a file holds no measured device."""
    try:
        load_profile(name)
        catalogue.device(name)
    except (UnknownProfileError, catalogue.UnknownName) as error:
        yield Fault(key, str(error), _CALIBRATE)


def _usual_fabric(cluster: ClusterSection) -> str:
    """Return the link that nodes of the plan's device usually have."""
    try:
        return catalogue.device(cluster.device).fabric
    except catalogue.UnknownName:
        return "nvlink-3"


def _name_fault(key: str, kind: str, name: str) -> Iterator[Fault]:
    if kind == "device" and is_file_name(name):
        yield from _device_file_fault(key, name)
        return
    if _is_known(kind, name):
        return
    names = catalogue.device_names() if kind == "device" else catalogue.link_names()
    small = name.lower()
    if _is_known(kind, small):
        names = (small, *names)  # it may be an alias, such as h100 for H100
    remedy = choices(name, names, f"`simulate list {kind}s`")
    yield Fault(key, f"unknown {kind} {shown(name)}", remedy)


def _is_known(kind: str, name: str) -> bool:
    try:
        catalogue.device(name) if kind == "device" else catalogue.link(name)
    except catalogue.UnknownName:
        return False
    return True


def _fixed_point_faults(training: TrainingSection) -> Iterator[Fault]:
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


def _scale_faults(model: ModelSection, training: TrainingSection) -> Iterator[Fault]:
    """Yield that only Transformer Engine's fp8 has scales to agree on."""
    has_scales = training.precision == "fp8" and model.kernels == "engine"
    if training.scale_group == "none" or has_scales:
        return
    yield Fault(
        "training.scale_group",
        "only fp8 by Transformer Engine's kernels has scales that ranks agree on",
        'leave it out, or write precision = "fp8" and kernels = "engine"',
        involves=("training.precision", "model.kernels"),
    )


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
    formats = ("fp32", "tf32", "fp16", "bf16", "fp8", "fixed16")
    built = [name for name in formats if name in peak]
    yield Fault(
        "training.precision",
        f"{cluster.device} does not offer {what}",
        f"allowed on it: {', '.join(built)}",
        involves=("cluster.device",),
    )


def settled(
    parallelism: ParallelismSection, cluster: ClusterSection
) -> ParallelismSection:
    """Return `parallelism` with `data` and `shard` worked out, still not `given`."""
    data = data_degree(parallelism, cluster)
    replicas = (data or DERIVED) * parallelism.context
    values = {
        **dict(parallelism),
        "data": data or DERIVED,
        "shard": parallelism.shard or replicas,
    }
    given = parallelism.model_fields_set
    return ParallelismSection.model_construct(_fields_set=set(given), **values)
