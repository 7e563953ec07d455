"""What to train, how to split it and on what: the one input of every prediction.

    plan = Plan.load("plans/gpt-175b-512gpu.toml")
    plan.replace({"parallelism.tensor": 4, "parallelism.pipeline": 16})

A `Plan` that exists is valid: its keys are right, and fit together. What is wrong with
one that does not is a `PlanError` with every fault, its place and its remedy.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from models.model import Model
from simulator.errors import PlanError
from simulator.plans.building import build_cluster, build_model
from simulator.plans.checks import faults_between, settled
from simulator.plans.dumping import to_toml, without_empty
from simulator.plans.paths import anchored, fingerprinted
from simulator.plans.reading import (
    Override,
    given_by,
    located,
    overrides_from,
    parse_override,
    read_mapping,
    read_sections,
)
from simulator.plans.records import (
    TEXTS,
    BatchSection,
    ClusterSection,
    ExpectSection,
    ModelSection,
    ParallelismSection,
    Section,
    StageTimesSection,
    SynchronizationSection,
    TrainingSection,
)
from topologies.hardware import Cluster

__all__ = ["Plan"]


class Plan(Section):
    """A training job on a cluster; every number in SI base units.

    Fields:
        title, description: for people.
        model: the network.
        batch: samples of a step, and of a micro-batch [1].
        parallelism: the mesh and the pipeline; `data` is worked out if left out.
        training: number formats and optimizer.
        synchronization: how replicas agree.
        stage_times: profiled times that replace the prices of passes, if any.
        cluster: the hardware.
        expect: bounds that the prediction has to keep.
    """

    title: str = Field(default="", description="What the reports are headed with.")
    description: str = Field(default="", description="What the plan is for.")
    model: ModelSection
    batch: BatchSection
    parallelism: ParallelismSection = Field(default_factory=ParallelismSection)
    training: TrainingSection = Field(default_factory=TrainingSection)
    synchronization: SynchronizationSection = Field(
        default_factory=SynchronizationSection
    )
    stage_times: StageTimesSection | None = None
    cluster: ClusterSection
    expect: ExpectSection = Field(default_factory=ExpectSection)

    @classmethod
    def load(cls, path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> Self:
        """Return the plan in the TOML file at `path`.

        Files that it names are found from its folder; those of overrides from here.

        Args:
            path: of the file.
            overrides: such as `parallelism.tensor=4`, as after `--set`.

        Raises:
            PlanError: with every fault, and where in the file it is.
        """
        requests = [parse_override(text) for text in overrides]
        text, content = read_mapping(path)
        mapping = anchored(content, Path(path).parent)
        try:
            return cls._read(mapping, requests)
        except PlanError as error:
            faults = located(error.faults, text)
            raise PlanError(faults, os.fspath(path)) from None

    @classmethod
    def from_mapping(
        cls, mapping: Mapping[str, Any], overrides: Mapping[str, Any] | None = None
    ) -> Self:
        """Return the plan in nested tables, as TOML would give them.

        Args:
            mapping: tables by name; quantities are text with a unit.
            overrides: dotted keys and their values; None takes a key out.

        Raises:
            PlanError: with every fault.
        """
        return cls._read(mapping, overrides_from(overrides or {}))

    @classmethod
    def _read(cls, mapping: Mapping[str, Any], requests: list[Override]) -> Self:
        sections = read_sections(mapping, requests)
        try:
            return cls(**sections)
        except PlanError as error:
            raise PlanError(given_by(requests, error.faults)) from None

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
        """Devices that take part: tensor x pipeline x data [1]."""
        mesh = self.parallelism
        return mesh.tensor * mesh.pipeline * mesh.data

    @property
    def num_microbatches(self) -> int:
        """Micro-batches that a replica processes in one step [1]."""
        return self.batch.global_ // (self.batch.micro * self.parallelism.data)

    def build_model(self) -> Model:
        """Return the network; equal model sections share one object."""
        return build_model(self.model)

    def build_cluster(self) -> Cluster:
        """Return the hardware, with the plan's own bandwidth and latency in it."""
        return build_cluster(self.cluster)

    def replace(self, overrides: Mapping[str, Any]) -> Self:
        """Return a plan with other values, by dotted key; None takes a key out.

        What was worked out and not given, such as `parallelism.data`, is worked
        out again.

        >>> plan.replace({"parallelism.tensor": 4})  # doctest: +SKIP
        """
        given = self.model_dump(by_alias=True, exclude_unset=True, exclude_none=True)
        return self.from_mapping(given, overrides)

    def with_(self, **overrides: Any) -> Self:
        """Return `replace(overrides)`: `plan.with_(**{"batch.micro": 4})`."""
        return self.replace(overrides)

    def dump(self) -> str:
        """Return the plan as TOML text, defaults included.

        What was worked out and not given stays left out, so that the text reads
        back as a plan equal to this one in every respect.
        """
        return to_toml(self._tables(with_derived=False))

    @property
    def content_hash(self) -> str:
        """SHA-256 of the whole content, in hex.

        Values that were worked out are part of it, and what the files that the plan
        names contain.
        """
        text = to_toml(fingerprinted(self._tables(with_derived=True)))
        return hashlib.sha256(text.encode()).hexdigest()

    def _tables(self, *, with_derived: bool) -> dict[str, Any]:
        tables = self.model_dump(by_alias=True, exclude_none=True)
        if not with_derived:
            for section, key in (
                ("parallelism", "data"),
                ("training", "gradient_precision"),
            ):
                if key not in getattr(self, section).model_fields_set:
                    del tables[section][key]
        kept = {
            key: without_empty(value)
            for key, value in tables.items()
            if value not in ({}, "")
        }
        return {key: kept[key] for key in (*TEXTS, *kept) if key in kept}
