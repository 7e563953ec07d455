"""Headline numbers of the reference plans: read, predicted, written."""

import json
import tomllib
from pathlib import Path

from simulator.api import simulate
from simulator.plan import Plan

ROOT = Path(__file__).parents[2]
FILE = Path(__file__).parent / "predictions.toml"
HEADER = """\
# What the reference plans are predicted to take. A number that moves is explained
# under Predictions in CHANGELOG.md; `python -m tests.golden` then writes it here.
"""
ASKED = ("name", "plan", "set")
PARTS = ("compute_s", "exposed_communication_s", "bubble_s", "host_s")


def committed():
    """Return the entries of the file: what was asked, and the numbers it held."""
    return tomllib.loads(FILE.read_text("utf-8"))["prediction"]


def asked(entry):
    return {key: entry[key] for key in ASKED if key in entry}


def predicted(entry):
    """Return the numbers of an entry, as they come out now."""
    result = simulate(Plan.load(ROOT / entry["plan"], entry.get("set", ())))
    values = result.to_json()
    return {
        "status": values["status"],
        "step_time_s": _rounded(values["step_time_s"]),
        "mfu": _rounded(values["mfu"]),
        "memory_peak_bytes": _rounded(values["memory_peak_bytes"]),
        "sent_bytes": _rounded(sum(row["bytes"] for row in values["ledger"])),
        **{part: _rounded(values["breakdown"][part]) for part in PARTS},
    }


def write():
    """Write the file anew; what is asked stays."""
    blocks = [HEADER]
    for entry in committed():
        lines = {**asked(entry), **predicted(entry)}
        text = "\n".join(f"{key} = {json.dumps(value)}" for key, value in lines.items())
        blocks.append(f"\n[[prediction]]\n{text}\n")
    FILE.write_text("".join(blocks), "utf-8")


def _rounded(value):
    """Return nine digits: more than the test compares, less than the last bits."""
    return float(f"{value:.9g}")
