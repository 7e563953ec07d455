"""What the parts of a score file are read with: tables by path, faults in place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from calibration.score_files.records import QUANTITIES
from simulator.errors import Fault
from simulator.plans.fields import shown
from simulator.plans.hints import choices
from simulator.plans.places import KeyPath, finder
from simulator.plans.records import plan_keys


@dataclass(slots=True)
class FaultList:
    """What is wrong with one TOML file; places are looked up at the first fault.

    Fields:
        text: of the file, valid TOML.
        found: so far.
    """

    text: str
    found: list[Fault] = field(default_factory=list)

    def add(self, path: KeyPath, problem: str, remedy: str = "") -> None:
        """Add a fault of the key at `path`."""
        (line, column), _ = finder(self.text)(path)
        key = ".".join(part for part in path if isinstance(part, str))
        self.found.append(Fault(key, problem, remedy, line, column))


@dataclass(slots=True)
class Reading:
    """A score file that is being read.

    Fields:
        source: its path, as it was named.
        mapping: its content.
        faults: what is wrong with it.
    """

    source: str
    mapping: Mapping[str, Any]
    faults: FaultList

    def fault(self, path: KeyPath, problem: str, remedy: str = "") -> None:
        """Add a fault of the key at `path`."""
        self.faults.add(path, problem, remedy)

    def fault_at(self, place: str, key: str, problem: str, remedy: str = "") -> None:
        """Add a fault of a row that stands at `place`, which says the file as well."""
        self.faults.found.append(Fault(key, problem, remedy, given=place))

    def table(self, path: KeyPath) -> dict[str, Any]:
        """Return the table at `path`; an empty one where there is none."""
        found: Any = self.mapping
        for part in path:
            absent: Any = {}
            found = found.get(part, absent) if isinstance(found, dict) else found[part]
        if isinstance(found, dict):
            return found
        self.fault(path, f"takes a table, got {shown(found)}")
        return {}

    def check_keys(
        self, table: Iterable[str], known: tuple[str, ...], path: KeyPath
    ) -> None:
        """Report the keys of a table at `path` that it cannot have."""
        for key in table:
            if key not in known:
                self.fault(
                    (*path, key), f"unknown key {shown(key)}", choices(key, known)
                )

    def check_plan_key(self, key: str, path: KeyPath) -> None:
        """Report a dotted key that no plan has."""
        known = plan_keys()
        if key not in known:
            remedy = choices(key, known, "`simulate schema`")
            self.fault(path, f"{shown(key)} is no key of a plan", remedy)

    def is_quantity(self, name: str, path: KeyPath) -> bool:
        """Return whether `name` may be measured, and report it if not."""
        if name in QUANTITIES:
            return True
        remedy = choices(name, list(QUANTITIES))
        self.fault(path, f"{shown(name)} is nothing that is predicted", remedy)
        return False
