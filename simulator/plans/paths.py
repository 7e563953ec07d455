"""Files that a plan names: found beside the plan, and part of what it says."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from topologies.profile_file import is_file_name

Tables = dict[str, Any]
_Change = Callable[[str], str]


def anchored(mapping: Mapping[str, Any], folder: Path) -> Tables:
    """Return a plan's tables with the files in them found from a folder.

    Args:
        mapping: tables by name, as TOML gives them, right or wrong.
        folder: of the plan.
    """
    return _replaced(mapping, lambda name: os.fspath(folder.absolute() / name))


def fingerprinted(tables: Mapping[str, Any]) -> Tables:
    """Return tables in which files stand by what they contain, not by their names."""
    return _replaced(tables, _digest)


def _digest(name: str) -> str:
    try:
        return hashlib.sha256(Path(name).read_bytes()).hexdigest()
    except (OSError, ValueError):
        return name


def _replaced(mapping: Mapping[str, Any], change: _Change) -> Tables:
    """Return a copy of `mapping` with each name of a file in it changed."""
    content = dict(mapping)
    if "model" in content:
        content["model"] = _changed(content["model"], "file", change)
    cluster = content.get("cluster")
    if not isinstance(cluster, Mapping):
        return content
    content["cluster"] = cluster = dict(cluster)
    for key in ("device", "profile"):
        if isinstance(cluster.get(key), str) and is_file_name(cluster[key]):
            cluster[key] = change(cluster[key])
    if "network" in cluster:
        cluster["network"] = _changed(cluster["network"], "file", change)
    jobs = cluster.get("background")
    if isinstance(jobs, list | tuple):
        cluster["background"] = [_changed(job, "plan", change) for job in jobs]
    return content


def _changed(table: Any, key: str, change: _Change) -> Any:
    if not isinstance(table, Mapping) or not isinstance(table.get(key), str):
        return table
    return {**table, key: change(table[key])}
