"""The text of a plan file, or why it cannot be had, in a message that helps."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

from simulator.errors import Fault, PlanError
from simulator.plans.hints import nearest
from topologies.units import parse_quantity

_LARGEST_TEXT = "10 MB"
_LARGEST = int(parse_quantity(_LARGEST_TEXT, "B"))
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: str | os.PathLike[str]) -> str:
    """Return the UTF-8 text of the file at `path`, without its byte-order mark.

    Raises:
        PlanError: there is no such file, it cannot be read, or it is no text.
    """
    source = os.fspath(path)
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        raise PlanError([_unreadable(Path(path), error)], source) from None
    if fault := _not_text(content):
        raise PlanError([fault], source)
    text = content.decode("utf-8-sig")
    if not text.strip():
        remedy = "a plan needs the tables [model], [batch] and [cluster]"
        raise PlanError([Fault("file", "is empty", remedy, 1, 1)], source)
    return text


def _not_text(content: bytes) -> Fault | None:
    if len(content) > _LARGEST:
        problem = f"is larger than {_LARGEST_TEXT}, which no plan is"
        return Fault("file", problem, "", 1, 1)
    if content.startswith(_UTF16):
        return Fault("file", "is UTF-16 text", "save it as UTF-8", 1, 1)
    offset = content.find(b"\0")
    what = "a zero byte"
    if offset < 0:
        try:
            content.decode("utf-8")
        except UnicodeDecodeError as error:
            offset, what = error.start, f"byte 0x{content[error.start]:02x}"
        else:
            return None
    before = content[:offset].decode("utf-8", errors="replace")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    problem = f"is not UTF-8 text: {what} at offset {offset}"
    return Fault("file", problem, "a plan is a TOML file", line, column)


def _unreadable(path: Path, error: OSError | ValueError) -> Fault:
    if isinstance(error, IsADirectoryError):
        plans = sorted(entry.name for entry in path.glob("*.toml"))
        remedy = f"name a file in it: {', '.join(plans[:8])}" if plans else ""
        return Fault("file", "is a folder, not a plan", remedy, 1, 1)
    if isinstance(error, PermissionError):
        return Fault("file", "may not be read", "check its permissions", 1, 1)
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return Fault("file", "does not exist", _other_files(path), 1, 1)
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return Fault("file", f"cannot be read: {reason}", "", 1, 1)


def _other_files(path: Path) -> str:
    """Return which plan in the folder of `path` may have been meant."""
    try:
        plans = sorted(entry.name for entry in path.parent.glob("*.toml"))
        plans = [name for name in plans if name != "pyproject.toml"]
    except OSError:
        return ""
    stems = {Path(plan).stem: plan for plan in plans}
    if near := nearest(path.stem, stems):
        return f"did you mean '{path.parent / stems[near]}'?"
    return f"plans in that folder: {', '.join(plans[:8])}" if plans else ""
