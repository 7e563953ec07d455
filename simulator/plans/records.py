"""The tables of a plan file, as frozen records: what each key means, and its limits.

Here stands what one key may hold; how keys have to fit together is in `checks`.
Attribute names are TOML keys, except `BatchSection.global_`, whose key is `global`.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

from simulator.plans.device_step import DeviceStepSection
from simulator.plans.fields import (
    MAX_LAYERS,
    Bound,
    Quantity,
    Threshold,
)
from simulator.plans.layer_records import LayerSection
from simulator.plans.model_records import ModelSection
from simulator.plans.network_fields import Order, RingOrder
from simulator.plans.network_records import (
    BackgroundSection,
    ClusterSection,
    DegradedSection,
    NetworkSection,
    NodeSection,
)
from simulator.plans.section import Degree, Dimension, Section
from simulator.plans.split_records import DERIVED, ParallelismSection
from simulator.plans.stage_times import StageTimesSection
from simulator.plans.training_records import SynchronizationSection, TrainingSection

__all__ = [
    "ARRAYS",
    "DERIVED",
    "SECTIONS",
    "TEXTS",
    "BackgroundSection",
    "BatchSection",
    "ClusterSection",
    "DeviceStepSection",
    "ExpectSection",
    "LayerSection",
    "ModelSection",
    "NetworkSection",
    "NodeSection",
    "ParallelismSection",
    "Section",
    "StageTimesSection",
    "SynchronizationSection",
    "TrainingSection",
    "keys_in",
    "keys_of",
    "plan_keys",
    "table_of",
]

# Above 1 only as fast convolutions do without FLOP that are counted.
_HIGHEST_MFU = 10.0


class BatchSection(Section):
    """How many samples an optimizer step consumes, and in what portions."""

    global_: Dimension = Field(
        alias="global",
        description="Samples of one optimizer step over all replicas, B.",
        examples=[1536],
    )
    micro: Dimension = Field(
        description="Samples a replica processes at once, b.", examples=[2]
    )


class ExpectSection(Section):
    """Bounds that the prediction has to keep; the exit code is 4 if one breaks."""

    step_time: Annotated[Threshold | None, Bound("s")] = Field(
        default=None, description="Of one optimizer step."
    )
    memory_peak: Annotated[Threshold | None, Bound("B")] = Field(
        default=None, description="On the fullest device."
    )
    mfu: Annotated[Threshold | None, Bound("1", most=_HIGHEST_MFU)] = Field(
        default=None, description="Model FLOP/s utilisation, from 0 to 1."
    )
    samples_per_s: Annotated[Threshold | None, Bound("1")] = Field(
        default=None, description="Throughput in samples a second."
    )
    tokens_per_s: Annotated[Threshold | None, Bound("1")] = Field(
        default=None, description="Throughput in tokens a second."
    )


class CollectiveSection(Section):
    """One collective by itself, as a benchmark of the network runs it."""

    pattern: str = Field(
        description="What it does, such as all-reduce; several in a row are joined"
        " by ' + '.",
        examples=["all-reduce", "reduce + broadcast"],
    )
    size: Annotated[float, Quantity("B", at_most="1 EiB")] = Field(
        description="Message in NCCL's convention: the buffer of a rank; of an"
        " all-gather the whole output, of a reduce-scatter the whole input."
    )
    algorithm: str = Field(
        default="auto",
        description="How it becomes messages, one for each pattern, joined by ' + ';"
        " auto takes the fastest.",
        examples=["ring", "chain + chain"],
    )
    protocol: str | None = Field(
        default=None,
        description="The only protocol of the links that it may use, as the profile"
        " calls it; left out, the fastest.",
    )
    ranks: Degree | None = Field(
        default=None, description="Devices that take part; left out, all."
    )
    servers: Degree | None = Field(
        default=None,
        description="Servers of a sharded push or pull; left out, one a rank.",
    )
    calls: Annotated[int, Field(ge=1, le=MAX_LAYERS)] = Field(
        default=1, description="Equal parts of the message, one after the other."
    )
    ring_order: Annotated[RingOrder, Order()] = Field(
        default="auto",
        description="Order of the nodes around a ring on a graph: chosen by load, by"
        " rank, or all node numbers.",
    )


SECTIONS: dict[str, type[Section]] = {
    "model": ModelSection,
    "batch": BatchSection,
    "parallelism": ParallelismSection,
    "parallelism.layers": LayerSection,
    "training": TrainingSection,
    "synchronization": SynchronizationSection,
    "stage_times": StageTimesSection,
    "device_step": DeviceStepSection,
    "cluster": ClusterSection,
    "cluster.node": NodeSection,
    "cluster.network": NetworkSection,
    "cluster.network.degraded": DegradedSection,
    "cluster.background": BackgroundSection,
    "expect": ExpectSection,
    "collective": CollectiveSection,
}
TEXTS = ("title", "description")
ARRAYS = ("cluster.network.degraded", "cluster.background", "parallelism.layers")
"""Tables that may stand several times, as `[[cluster.background]]`."""


def keys_of(section: type[Section]) -> list[str]:
    """Return the TOML keys of `section`, in order."""
    fields = section.model_fields.items()
    return [field.alias or name for name, field in fields]


def table_of(key: str) -> str:
    """Return `key` without the numbers of an array's tables.

    >>> table_of("cluster.background[1].rate")
    'cluster.background.rate'
    """
    return re.sub(r"\[\d+\]", "", key)


def keys_in(table: str) -> list[str]:
    """Return the keys that may stand in `table`; the top of the file is ''."""
    if table:
        return keys_of(SECTIONS[table_of(table)])
    return [*TEXTS, *(name for name in SECTIONS if "." not in name)]


def plan_keys() -> list[str]:
    """Return every dotted key of a plan that holds a value."""
    tables = [table for table in SECTIONS if table not in ARRAYS]
    keys = [f"{table}.{key}" for table in tables for key in keys_in(table)]
    return [*TEXTS, *(key for key in keys if key not in SECTIONS or key in ARRAYS)]
