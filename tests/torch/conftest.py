"""Tests that run ranks for real: left out where torch is missing, one after another."""

from pathlib import Path

import pytest

from calibration.torch_engine.errors import has_torch

HERE = Path(__file__).parent

# This folder would pass for torch itself in `importorskip`: it has its name.
collect_ignore_glob = [] if has_torch() else ["test_*.py"]


def pytest_report_header():
    return "" if has_torch() else "torch is not installed: tests/torch is left out"


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("torch"))
