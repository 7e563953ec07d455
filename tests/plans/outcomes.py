"""What the command line says to each example plan."""

import contextlib
import io
import os
from pathlib import Path

from simulator import cli

ROOT = Path(__file__).parents[2]
EXPECTED = Path(__file__).parent / "expected"


def plans():
    return sorted((ROOT / "plans").glob("*.toml"))


def file_of(plan):
    return EXPECTED / f"{plan.stem}.txt"


def outcome(plan):
    """Return the command, its exit code and its report, as one text."""
    command = plan.relative_to(ROOT).as_posix()
    report = io.StringIO()
    before = Path.cwd()
    os.chdir(ROOT)
    code = 0
    try:
        with contextlib.redirect_stdout(report):
            cli.main([command])
    except SystemExit as end:
        code = end.code
    finally:
        os.chdir(before)
    return f"$ simulate {command}\nexit code {code}\n\n{report.getvalue()}"
