"""`simulate score`: predictions beside published measurements."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import click

from simulator.cli.options import debug_option, json_option, print_json


@click.command()
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@json_option
@click.option("--rows", is_flag=True, help="List every row, not only the summary.")
@debug_option
def score(files: Sequence[Path], as_json: bool, rows: bool) -> None:
    """Compare predictions with published measurements."""
    # By name: imports run one way, and calibration is the last.
    report = import_module("calibration.scoring.score").score_files(files, rows=rows)
    if as_json:
        print_json(report.to_json())
    else:
        click.echo(report.text())
    if report.is_interrupted:
        raise KeyboardInterrupt
