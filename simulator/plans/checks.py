"""How the keys of a plan have to fit together; each answer shows the arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from models.model import Model
from simulator.collectives.table import TABLE
from simulator.errors import Fault
from simulator.plans.building import build_model
from simulator.plans.cluster_checks import cluster_faults, machine_faults
from simulator.plans.fields import MAX_DEVICES
from simulator.plans.format_checks import (
    fixed_point_faults,
    precision_faults,
    scale_faults,
)
from simulator.plans.layer_faults import layer_faults
from simulator.plans.model_checks import model_faults
from simulator.plans.node_checks import order_faults
from simulator.plans.pipeline_checks import (
    batch_faults,
    schedule_faults,
    sending_faults,
    stage_faults,
)
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
from simulator.plans.sharding_checks import (
    kept_faults,
    profiled_faults,
    sharding_faults,
)
from simulator.plans.splits import (
    data_degree,
    degree_faults,
    group_faults,
    recompute_faults,
    tensor_faults,
)
from simulator.plans.token_checks import context_faults, expert_faults


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
        wrong = list(model_faults(sections.model))
        yield from wrong
        if not wrong:
            model = build_model(sections.model)
    if sections.cluster:
        own = list(cluster_faults(sections.cluster))
        yield from own or machine_faults(sections.cluster)
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
    """Yield what is wrong with number formats, and with a framework's sends."""
    yield from kept_faults(training)
    if sections.cluster:
        yield from precision_faults(training, sections.cluster)
    yield from fixed_point_faults(training)
    if sections.model:
        yield from scale_faults(sections.model, training)
    if sections.parallelism:
        yield from sending_faults(sections.parallelism, training)


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
    if sections.stage_times and sections.parallelism:
        yield from profiled_faults(sections.parallelism)
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
