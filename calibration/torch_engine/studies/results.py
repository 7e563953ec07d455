"""Results of our own measurements as dated TOML files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from simulator.plans.dumping import toml_value
from simulator.version import VERSION

FOLDER = Path(__file__).parents[2] / "measured"
PROGRAM = "python -m calibration.torch_engine.studies"


def head(title: str, arguments: str) -> list[str]:
    """Return the first lines of a file: what it is, when, and on what.

    Args:
        title: a sentence.
        arguments: of the program that writes it anew.
    """
    made = {
        "date": datetime.now(tz=UTC).date().isoformat(),
        "rehearsal": VERSION,
        "python": sys.version.split()[0],
        "torch": version("torch"),
        "kernel": os.uname().release.partition("-")[0],
        "cores": len(os.sched_getaffinity(0)),
    }
    return [f"# {title}", f"# `{PROGRAM} {arguments}` writes this file.", *keys(made)]


def keys(values: Mapping[str, object]) -> list[str]:
    """Return lines of keys and values."""
    return [f"{key} = {toml_value(value)}" for key, value in values.items()]


def rows(entries: Iterable[Mapping[str, object]]) -> list[str]:
    """Return the lines of an array of tables."""
    return [line for entry in entries for line in ("", "[[row]]", *keys(entry))]


def write(path: str | Path, lines: Iterable[str]) -> None:
    """Write a file of results.

    Args:
        path: of the file, or its name in the folder of measurements.
        lines: of it.
    """
    target = path if isinstance(path, Path) else FOLDER / f"{path}.toml"
    target.write_text("\n".join(lines) + "\n", "utf-8")
