"""One collective on a cluster: what a benchmark such as nccl-tests measures.

    plan = CollectivePlan.load("plans/all-reduce-8-a100.toml")
    predict_collective(plan).time_s

Such a file has the table `[collective]`, and `[cluster]` as plans of training have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import model_validator

from simulator.errors import PlanError
from simulator.one_collective.checks import collective_faults
from simulator.plans.building import build_cluster
from simulator.plans.dumping import to_toml
from simulator.plans.network_records import ClusterSection
from simulator.plans.plan_file import PlanFile
from simulator.plans.reading import COLLECTIVE
from simulator.plans.records import CollectiveSection
from topologies.hardware import Cluster

__all__ = ["CollectivePlan", "is_collective"]


def is_collective(mapping: Mapping[str, Any]) -> bool:
    """Return whether tables, right or wrong, are meant as a plan of one collective."""
    return "collective" in mapping


class CollectivePlan(PlanFile):
    """One collective on a cluster; every number in SI base units.

    Fields:
        title, description: for people.
        collective: what is run.
        cluster: the hardware.
    """

    kind: ClassVar = COLLECTIVE
    collective: CollectiveSection
    cluster: ClusterSection

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

    def dump(self) -> str:
        """Return the plan as TOML text, defaults included."""
        tables = self.model_dump(by_alias=True, exclude_none=True)
        return to_toml(self.written(tables))
