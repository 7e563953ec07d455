"""What to train, how to split it and on what: the one input of every prediction.

    plan = Plan.load("plans/gpt-175b-512gpu.toml")
    plan.replace({"parallelism.tensor": 4, "parallelism.pipeline": 16})

A `Plan` that exists is valid: its keys are right, and fit together. What is wrong with
one that does not is a `PlanError` with every fault, its place and its remedy.
"""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from models.model import Model
from simulator.errors import PlanError
from simulator.plans.building import build_cluster, build_model
from simulator.plans.checks import faults_between, settled
from simulator.plans.chosen_blocks import with_chosen_blocks
from simulator.plans.dumping import to_toml
from simulator.plans.paths import fingerprinted
from simulator.plans.plan_file import PlanFile
from simulator.plans.reading import TRAINING
from simulator.plans.records import (
    BatchSection,
    ClusterSection,
    DeviceStepSection,
    ExpectSection,
    ModelSection,
    ParallelismSection,
    StageTimesSection,
    SynchronizationSection,
    TrainingSection,
)
from simulator.plans.whole_layers import with_whole_layers
from topologies.hardware import Cluster

__all__ = ["Plan"]


class Plan(PlanFile):
    """A training job on a cluster; every number in SI base units.

    Fields:
        title, description: for people.
        model: the network.
        batch: samples of a step, and of a micro-batch [1].
        parallelism: the mesh and the pipeline; `data` is worked out if left out.
        training: number formats and optimizer.
        synchronization: how replicas agree.
        stage_times: profiled times that replace the prices of passes, if any.
        device_step: measured step of one device that sets the pace, if any.
        cluster: the hardware.
        expect: bounds that the prediction has to keep.
    """

    kind: ClassVar = TRAINING
    model: ModelSection
    batch: BatchSection
    parallelism: ParallelismSection = Field(default_factory=ParallelismSection)
    training: TrainingSection = Field(default_factory=TrainingSection)
    synchronization: SynchronizationSection = Field(
        default_factory=SynchronizationSection
    )
    stage_times: StageTimesSection | None = None
    device_step: DeviceStepSection | None = None
    cluster: ClusterSection
    expect: ExpectSection = Field(default_factory=ExpectSection)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Refuse sections that do not fit, and work out what was left out."""
        sections = {name: getattr(self, name) for name in type(self).model_fields}
        faults = faults_between(sections)
        if faults:
            raise PlanError(faults)
        # The record is frozen for everyone else; nobody has seen it yet.
        complete = settled(self.parallelism, self.cluster)
        object.__setattr__(self, "parallelism", complete)
        return self

    @property
    def world_size(self) -> int:
        """Devices that take part: tensor x context x data x pipeline [1]."""
        degrees = self.parallelism.degrees
        return int(degrees.plane) * self.parallelism.pipeline

    @property
    def num_microbatches(self) -> int:
        """Micro-batches that a replica processes in one step [1]."""
        return self.batch.global_ // (self.batch.micro * self.parallelism.data)

    def build_model(self) -> Model:
        """Return the network; equal sections share one object.

        Blocks of which the plan speaks by number are told apart, and layers that
        tensor ranks are not to divide have no split.
        """
        model = with_chosen_blocks(build_model(self.model), self.parallelism)
        return with_whole_layers(model, self.parallelism.layers)

    def build_cluster(self) -> Cluster:
        """Return the hardware, with the plan's own bandwidth and latency in it."""
        return build_cluster(self.cluster)

    def dump(self) -> str:
        """Return the plan as TOML text, defaults included.

        What was worked out and not given stays left out, so that the text reads
        back as a plan equal to this one in every respect.
        """
        return to_toml(self._given())

    @property
    def content_hash(self) -> str:
        """SHA-256 of what sets the plan apart from one of defaults, in hex.

        Values that were worked out are part of it, and what the files that the plan
        names contain. So a key that is new to this version changes no hash.
        """
        tables = self.model_dump(
            by_alias=True, exclude_none=True, exclude_defaults=True
        )
        text = to_toml(fingerprinted(self.written(tables)))
        return hashlib.sha256(text.encode()).hexdigest()

    def _given(self) -> dict[str, Any]:
        """Return the tables with defaults, but without what was worked out."""
        tables = self.model_dump(by_alias=True, exclude_none=True)
        for section, key in (
            ("parallelism", "data"),
            ("parallelism", "shard"),
            ("training", "gradient_precision"),
        ):
            if key not in getattr(self, section).model_fields_set:
                del tables[section][key]
        return self.written(tables)
