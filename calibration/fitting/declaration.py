"""What a fit may move, and between which bounds: the files in `calibration/fits`.

Every constant of a profile is declared exactly once: `fitted` with bounds, `fixed` at
a value, or `same` as another. Each says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calibration.fitting.repricing import unit_of
from calibration.score_files.reading import FaultList
from simulator.errors import PlanError
from simulator.plans.hints import choices
from simulator.plans.reading import read_mapping
from topologies.profile import Profile
from topologies.profile_file import (
    LINK_UNITS,
    OPTIONAL,
    UNITS,
    parse_profile,
)
from topologies.units import Ratio, UnitError, parse_quantity

FITS = Path(__file__).parents[1] / "fits"
_KINDS = ("fitted", "fixed", "same")
_SETTINGS = ("profile", "title", "on", "loss_scale", "folds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A constant that the fit moves; numbers in the unit of the constant.

    Fields:
        name: such as `host_forward` or `links.nvlink-3.hop`.
        start, low, high: first guess and bounds.
        why: reason for the bounds.
    """

    name: str
    start: float
    low: float
    high: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """A constant that the fit leaves alone: its text in the profile, and why."""

    name: str
    text: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A fit.

    Fields:
        profile: name of the profile that it writes.
        title: of the profile.
        on: score files whose `fit` rows it uses.
        loss_scale: relative error from which the loss grows linearly [1].
        folds: of the cross-validation [1].
        fitted, fixed: constants.
        same: constants that follow another, by name.
        algorithms: that the library of the platform has; empty for all.
        protocols: names of the first protocols of links.
    """

    profile: str
    title: str
    on: tuple[Path, ...]
    loss_scale: Ratio
    folds: int
    fitted: tuple[Fitted, ...]
    fixed: tuple[Fixed, ...]
    same: Mapping[str, str]
    algorithms: tuple[str, ...] = ()
    protocols: Mapping[str, str] = field(default_factory=dict)

    def values(self, fitted: Mapping[str, Any]) -> dict[str, Any]:
        """Return all constants, given the fitted ones; values may be arrays."""
        found: dict[str, Any] = {
            fixed.name: parse_quantity(fixed.text, unit_of(fixed.name))
            for fixed in self.fixed
        }
        found |= fitted
        return found | {name: found[other] for name, other in self.same.items()}

    def names(self) -> list[str]:
        """Return the names of all constants in the order of a profile file."""
        fitted, fixed = (one.name for one in self.fitted), (f.name for f in self.fixed)
        return all_constants([*fitted, *fixed, *self.same])

    def reasons(self) -> dict[str, str]:
        """Return why each constant is what it is, in the order of a profile file."""
        found = {one.name: f"fitted; {one.why}" for one in self.fitted}
        found |= {one.name: one.why for one in self.fixed}
        found |= {name: f"taken to be {other}" for name, other in self.same.items()}
        return {name: found[name] for name in self.names()}

    def start_profile(self) -> Profile:
        """Return the profile of the first guess."""
        start = {fitted.name: fitted.start for fitted in self.fitted}
        texts = {
            name: f"{value!r} {unit_of(name).removeprefix('1')}".strip()
            for name, value in self.values(start).items()
        }
        error = {"families": [], "low": 0.0, "high": 0.0}
        table = {**self.nested(texts), "error": error, "basis": ""}
        return parse_profile(self.profile, {**table, "algorithms": self.algorithms})

    def nested(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Return constants by name as the tables of a profile."""
        tables = nested(texts)
        for link, protocol in self.protocols.items():
            tables["links"][link] = {"protocol": protocol, **tables["links"][link]}
        return tables


def nested(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return constants by name as the tables `constants` and `links` of a profile."""
    links: dict[str, dict[str, str]] = {}
    own: dict[str, str] = {}
    for name, text in texts.items():
        if name.startswith("links."):
            link, _, constant = name.removeprefix("links.").rpartition(".")
            links.setdefault(link, {})[constant] = text
        else:
            own[name] = text
    return {"constants": own, "links": links}


def declared_names() -> tuple[str, ...]:
    """Return the names of all declared fits."""
    return tuple(sorted(path.stem for path in FITS.glob("*.toml")))


def read_declaration(name: str, folder: Path = FITS) -> Declaration:
    """Return the declaration of a fit by name.

    Raises:
        PlanError: there is none, or with every fault in it.
    """
    path = folder / f"{name}.toml"
    text, table = read_mapping(path)
    reader = _Reader(table, FaultList(text))
    reader.check_names()
    if not reader.faults.found:
        reader.check_numbers()
    if reader.faults.found:
        raise PlanError(reader.faults.found, str(path))
    return reader.declaration(path.parent)


@dataclass(slots=True)
class _Reader:
    """Reads one declaration and collects what is wrong with it."""

    content: Mapping[str, Any]
    faults: FaultList

    def constants(self, kind: str) -> dict[str, Any]:
        """Return what is declared as `fitted`, `fixed` or `same`."""
        found: dict[str, Any] = self.content.get(kind, {})
        return found

    def check_names(self) -> None:
        """Report constants that are unknown, declared twice, or not at all."""
        given = [(kind, name) for kind in _KINDS for name in self.constants(kind)]
        declared = [name for _, name in given]
        wanted = all_constants(declared)
        for kind, name in given:
            if name not in wanted:
                remedy = choices(name, wanted)
                self.faults.add((kind, name), "is no constant of a profile", remedy)
            elif declared.count(name) > 1:
                self.faults.add((kind, name), "is declared twice")
        for name in wanted:
            if name not in declared:
                remedy = f"add it to {', '.join(_KINDS)}"
                self.faults.add((), f"{name} is not declared", remedy)
        for key in _SETTINGS:
            if key not in self.content:
                self.faults.add((key,), "is missing")
        self.check_followers()

    def check_followers(self) -> None:
        """Report constants that follow one that is not there."""
        followed = {*self.constants("fitted"), *self.constants("fixed")}
        for name, other in self.constants("same").items():
            if other not in followed:
                self.faults.add(
                    ("same", name), f"{other!r} is neither fitted nor fixed"
                )

    def check_numbers(self) -> None:
        """Report bounds and values that are none."""
        for name in self.constants("fitted"):
            low, start, high = (
                self.number("fitted", name, key) for key in ("low", "start", "high")
            )
            if not 0 < low < start < high:
                self.faults.add(("fitted", name), "needs 0 < low < start < high")
        for name in self.constants("fixed"):
            self.number("fixed", name, "value")

    def number(self, kind: str, name: str, key: str) -> float:
        """Return a number in the unit of its constant; 1 with a fault if it is none."""
        try:
            return parse_quantity(str(self.constants(kind)[name][key]), unit_of(name))
        except KeyError:
            self.faults.add((kind, name, key), "is missing")
        except UnitError as error:
            self.faults.add((kind, name, key), str(error))
        return 1.0

    def declaration(self, folder: Path) -> Declaration:
        """Return what is declared; paths are relative to `folder`."""
        content = self.content
        return Declaration(
            profile=str(content["profile"]),
            title=str(content["title"]),
            on=tuple((folder / file).resolve() for file in content["on"]),
            loss_scale=float(content["loss_scale"]),
            folds=int(content["folds"]),
            fitted=tuple(
                Fitted(
                    name=name,
                    start=self.number("fitted", name, "start"),
                    low=self.number("fitted", name, "low"),
                    high=self.number("fitted", name, "high"),
                    why=str(entry.get("why", "")),
                )
                for name, entry in self.constants("fitted").items()
            ),
            fixed=tuple(
                Fixed(
                    name=name, text=str(entry["value"]), why=str(entry.get("why", ""))
                )
                for name, entry in self.constants("fixed").items()
            ),
            same=self.constants("same"),
            algorithms=tuple(content.get("algorithms", ())),
            protocols=content.get("protocols", {}),
        )


def all_constants(declared: Iterable[str]) -> list[str]:
    """Return all constants of a profile that has the links of those in `declared`.

    Those that a profile may leave out are among them if they are declared.
    """
    given = set(declared)
    own = [name for name in UNITS if name not in OPTIONAL or name in given]
    names = (name.removeprefix("links.") for name in given if "." in name)
    links = sorted({name.rpartition(".")[0] for name in names})
    of_links = [f"links.{link}.{constant}" for link in links for constant in LINK_UNITS]
    return [*own, *of_links]
