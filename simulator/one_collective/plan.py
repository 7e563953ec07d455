"""One collective on a cluster: what a benchmark such as nccl-tests measures.

    plan = CollectivePlan.load("plans/all-reduce-8-a100.toml")
    predict_collective(plan).time_s

Such a file has the table `[collective]`, and `[cluster]` as plans of training have.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from simulator.errors import PlanError
from simulator.plans.building import build_cluster
from simulator.plans.collective_checks import collective_faults
from simulator.plans.dumping import to_toml, without_empty
from simulator.plans.network_records import ClusterSection
from simulator.plans.paths import anchored
from simulator.plans.reading import (
    COLLECTIVE,
    Override,
    given_by,
    located,
    overrides_from,
    parse_override,
    read_mapping,
    read_sections,
)
from simulator.plans.records import TEXTS, CollectiveSection
from simulator.plans.section import Section
from topologies.hardware import Cluster

__all__ = ["CollectivePlan", "is_collective"]


def is_collective(mapping: Mapping[str, Any]) -> bool:
    """Return whether tables, right or wrong, are meant as a plan of one collective."""
    return "collective" in mapping


class CollectivePlan(Section):
    """One collective on a cluster; every number in SI base units.

    Fields:
        title, description: for people.
        collective: what is run.
        cluster: the hardware.
    """

    title: str = Field(default="", description="What the report is headed with.")
    description: str = Field(default="", description="What the plan is for.")
    collective: CollectiveSection
    cluster: ClusterSection

    @classmethod
    def load(cls, path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> Self:
        """Return the plan in the TOML file at `path`.

        Args:
            path: of the file.
            overrides: such as `collective.size="1 GB"`, as after `--set`.

        Raises:
            PlanError: with every fault, and where in the file it is.
        """
        requests = [parse_override(text) for text in overrides]
        text, content = read_mapping(path)
        try:
            return cls._read(anchored(content, Path(path).parent), requests)
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
        sections = read_sections(mapping, requests, COLLECTIVE)
        try:
            return cls(**sections)
        except PlanError as error:
            raise PlanError(given_by(requests, error.faults)) from None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Refuse sections that do not fit."""
        sections = {name: getattr(self, name) for name in type(self).model_fields}
        faults = collective_faults(sections)
        if faults:
            raise PlanError(faults)
        return self

    @property
    def num_ranks(self) -> int:
        """Devices that take part [1]."""
        return self.collective.ranks or self.cluster.num_devices

    def build_cluster(self) -> Cluster:
        """Return the hardware, with the plan's own bandwidth and latency in it."""
        return build_cluster(self.cluster)

    def replace(self, overrides: Mapping[str, Any]) -> Self:
        """Return a plan with other values, by dotted key; None takes a key out."""
        given = self.model_dump(by_alias=True, exclude_unset=True, exclude_none=True)
        return self.from_mapping(given, overrides)

    def dump(self) -> str:
        """Return the plan as TOML text, defaults included."""
        tables = self.model_dump(by_alias=True, exclude_none=True)
        kept = {k: without_empty(v) for k, v in tables.items() if v not in ({}, "")}
        return to_toml({key: kept[key] for key in (*TEXTS, *kept) if key in kept})
