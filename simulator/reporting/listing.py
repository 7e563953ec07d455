"""What a plan may name, as rows: the catalogue of `simulate list`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from typing import Any, get_args

from models import catalogue as networks
from simulator.plans.fields import ELSEWHERE, PLANNED, Scheme
from simulator.reporting.columns import aligned
from topologies import catalogue
from topologies.profile_file import profile_names

Row = dict[str, Any]


def rows_of(kind: str) -> list[Row]:
    """Return the rows of models, devices, links, topologies, schemes or profiles."""
    return _ROWS[kind]()


def table(rows: Sequence[Row], *, without: Collection[str] = ()) -> str:
    """Return `rows` as columns of text under their headings, `without` some.

    >>> print(table([{"name": "ring", "status": "planned"}]))
    name  status
    ring  planned
    """
    if not rows:
        return "none"
    headings = [name for name in rows[0] if name not in without]
    lines = [headings, *([_cell(row[name]) for name in headings] for row in rows)]
    return "\n".join(aligned(lines, num_left=len(headings)))


def _cell(value: object) -> str:
    match value:
        case None:
            return "–"
        case float():
            return f"{value:.4g}"
        case _:
            return str(value)


def _models() -> list[Row]:
    return [asdict(networks.describe(name)) for name in networks.names()]


def _topologies() -> list[Row]:
    from simulator.reporting.topology_rows import (  # noqa: PLC0415 - loads NumPy
        topology_rows,
    )

    return topology_rows()


def _names(literal: Any, key: str) -> list[Row]:
    built = [{"name": name, "status": "built"} for name in get_args(literal)]
    elsewhere = [
        {"name": name, "status": f"built, as {other}"}
        for name, other in ELSEWHERE[key].items()
    ]
    planned = [{"name": name, "status": "planned"} for name in PLANNED[key]]
    return built + elsewhere + planned


_ROWS: dict[str, Callable[[], list[Row]]] = {
    "models": _models,
    "devices": lambda: list(catalogue.describe_devices()),
    "links": lambda: list(catalogue.describe_links()),
    "topologies": _topologies,
    "schemes": lambda: _names(Scheme, "synchronization.scheme"),
    "profiles": lambda: [{"name": name} for name in profile_names()],
}
