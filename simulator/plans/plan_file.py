"""What all plans have in common: they are read from files, and made from each other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field

from simulator.errors import PlanError
from simulator.plans.dumping import without_empty
from simulator.plans.overrides import Override, given_by, overrides_from, parse_override
from simulator.plans.paths import anchored
from simulator.plans.reading import Kind, located, read_mapping, read_sections
from simulator.plans.records import TEXTS
from simulator.plans.section import Section


class PlanFile(Section):
    """A plan of some kind; every number in SI base units.

    Fields:
        kind: which tables it has.
        title, description: for people.
    """

    kind: ClassVar[Kind]
    title: str = Field(default="", description="What the reports are headed with.")
    description: str = Field(default="", description="What the plan is for.")

    @classmethod
    def load(cls, path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> Self:
        """Return the plan in the TOML file at `path`.

        Files that it names are found from its folder; those of overrides from here.

        Args:
            path: of the file.
            overrides: such as `cluster.nodes=4`, as after `--set`.

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
        sections = read_sections(mapping, requests, cls.kind)
        try:
            return cls(**sections)
        except PlanError as error:
            raise PlanError(given_by(requests, error.faults)) from None

    def replace(self, overrides: Mapping[str, Any]) -> Self:
        """Return a plan with other values, by dotted key; None takes a key out.

        What was worked out and not given, such as `parallelism.data`, is worked
        out again.

        >>> plan.replace({"cluster.nodes": 4})  # doctest: +SKIP
        """
        given = self.model_dump(by_alias=True, exclude_unset=True, exclude_none=True)
        return self.from_mapping(given, overrides)

    def written(self, tables: Mapping[str, Any]) -> dict[str, Any]:
        """Return tables as a file has them: texts first, and nothing empty."""
        kept = {k: without_empty(v) for k, v in tables.items() if v not in ({}, "")}
        return {key: kept[key] for key in (*TEXTS, *kept) if key in kept}
