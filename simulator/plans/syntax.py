"""What is wrong with a text that is no TOML, and what to write instead."""

from __future__ import annotations

import re

from simulator.errors import Fault
from simulator.plans.fields import shown

_AT = re.compile(
    r"^(.*) \(at (?:line (\d+), column (\d+)|end of document)\)$", re.DOTALL
)
_KEY_VALUE = re.compile(r"\s*([^=#\[\]]+?)\s*=\s*(.*)")
_HUGE_NUMBER = re.compile(r"\d{4301}")


def syntax_fault(text: str, message: str) -> Fault:
    """Return the fault behind the TOML parser's message."""
    match = _AT.match(message)
    if match is None:  # the one other message is int()'s, on too many digits
        huge = _HUGE_NUMBER.search(text)
        before = text[: huge.start()] if huge else ""
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        return Fault("syntax", "a number has too many digits", "", line, column)
    lines = text.replace("\r\n", "\n").split("\n")
    line = int(match[2] or len(lines))
    column = int(match[3] or len(lines[-1]) + 1)
    problem, remedy, is_about_key = _advice(match[1], lines[line - 1])
    if is_about_key:
        column = len(lines[line - 1]) - len(lines[line - 1].lstrip()) + 1
    return Fault("syntax", problem, remedy, line, column)


def _advice(message: str, line: str) -> tuple[str, str, bool]:
    """Return problem, remedy, and whether the place is the beginning of the line."""
    pair = _KEY_VALUE.match(line)
    key = pair[1] if pair else "KEY"
    value = pair[2].partition("#")[0].strip() if pair else ""
    quoted = f'write {key} = "{value}"'
    is_text = bool(value) and value[0] not in "\"'[{"
    if message.startswith("Illegal character"):
        if message.endswith("'\\n'"):
            return "text without a closing quote", 'end it with "', False
        escape = "in text, write it as an escape such as \\u0007"
        return f"{message[:1].lower()}{message[1:]}", escape, False
    if message == "Cannot overwrite a value" or message.startswith("Duplicate inline"):
        return f"{shown(key)} is given twice", "keep one of the two", True
    if message.startswith("Cannot declare"):
        return f"the table {line.strip()} is given twice", "merge the two", True
    if message == "Invalid value" and not value:
        return f"{shown(key)} has no value", f"write {key} = VALUE", False
    if is_text and message in {
        "Invalid value",
        "Expected newline or end of document after a statement",
    }:
        return f"{shown(value)} is text without quotes", quoted, False
    if message.startswith("Expected '=' after a key"):
        name, _, value = line.strip().partition(":")
        return (
            "a key without a value",
            f"write {name} = {value.strip() or 'VALUE'}",
            False,
        )
    if message == "Invalid statement":
        return "neither a [table] nor KEY = VALUE", "comments begin with #", False
    return f"{message[:1].lower()}{message[1:]}", "", False
