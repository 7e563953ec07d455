"""Same plan, same answer, to the byte: in any process, with any hash seed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.api import simulate
from simulator.reporting.trace import write_trace
from tests.laws.small_plans import plan

ROOT = Path(__file__).parents[2]


def a_plan():
    """Everything that is kept in sets and dictionaries: buckets, joint ops, sends."""
    return plan(
        tensor=2,
        pipeline=2,
        data=2,
        schedule="interleaved",
        chunks=2,
        microbatches=4,
        sequence=True,
        overlap=True,
        recompute="selective",
    )


def trace_of(given_plan, path, **options):
    write_trace(simulate(given_plan, **options), path)
    return path.read_bytes()


def test_the_same_plan_twice_gives_the_same_trace(tmp_path):
    first = trace_of(a_plan(), tmp_path / "first.json")
    again = trace_of(a_plan(), tmp_path / "again.json")
    assert first == again


@pytest.mark.parametrize("is_folded", [True, False])
def test_the_hash_seed_changes_nothing(tmp_path, is_folded):
    here = trace_of(a_plan(), tmp_path / "here.json", is_folded=is_folded)
    source = tmp_path / "plan.toml"
    source.write_text(a_plan().dump(), encoding="utf-8")
    program = (
        "import sys; from simulator import Plan; from simulator.api import simulate;"
        " from simulator.reporting.trace import write_trace;"
        f" result = simulate(Plan.load(sys.argv[1]), is_folded={is_folded});"
        " write_trace(result, sys.argv[2])"
    )
    for seed in ("1", "2"):
        target = tmp_path / f"{seed}.json"
        subprocess.run(
            [sys.executable, "-c", program, source, target],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
        )
        assert target.read_bytes() == here


def test_the_command_line_writes_that_trace_too(tmp_path):
    here = trace_of(a_plan(), tmp_path / "here.json")
    source, target = tmp_path / "plan.toml", tmp_path / "there.json"
    source.write_text(a_plan().dump(), encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "simulator", source, "--trace", target],
        env={**os.environ, "PYTHONHASHSEED": "3"},
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    assert target.read_bytes() == here


def test_a_compressed_trace_has_no_time_stamp(tmp_path):
    first = trace_of(a_plan(), tmp_path / "first.json.gz")
    again = trace_of(a_plan(), tmp_path / "again.json.gz")
    assert first == again
