"""What a command may import: start-up is paid on every call.

Anything new in these lists has to be worth its milliseconds.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLAN = str(ROOT / "plans" / "gpt-175b-512gpu.toml")

HEAVY = {
    *("numpy", "scipy", "simpy", "networkx", "matplotlib", "pandas", "torch"),
    *("rich", "pydantic", "spanned_toml", "jsonschema", "calibration"),
}
# What stays out of a prediction whatever it does; plots and errors load their own.
NEVER_IN_A_PREDICTION = {
    *("numpy", "scipy", "networkx", "matplotlib", "pandas", "torch", "rich"),
    *("spanned_toml", "jsonschema", "calibration"),
}
PROGRAM = """
import sys
from simulator.cli import main
try:
    main({arguments!r})
except SystemExit as end:
    code = end.code
loaded = {{name.partition('.')[0] for name in sys.modules}}
print('LOADED', code, *sorted(loaded), file=sys.stderr)
"""


def imported_by(*arguments: str) -> tuple[int, set[str]]:
    program = PROGRAM.format(arguments=list(arguments))
    process = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    (line,) = [x for x in process.stderr.splitlines() if x.startswith("LOADED")]
    _, code, *modules = line.split()
    return int(code), set(modules)


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("--version",), ("predict", "--help"), ("swep",), ("scale", "-h")],
    ids=" ".join,
)
def test_help_imports_nothing_heavy(arguments):
    _, modules = imported_by(*arguments)
    assert modules & HEAVY == set()


def test_a_plan_is_loaded_with_pydantic_and_nothing_heavier():
    code, modules = imported_by("check", PLAN)
    assert code == 0
    assert modules & HEAVY == {"pydantic"}


def test_places_are_looked_up_only_when_something_is_wrong():
    code, modules = imported_by("check", PLAN, "--set", "parallelism.tensr=4")
    assert code == 2
    assert modules & HEAVY == {"pydantic", "spanned_toml"}


# Topologies are listed with figures, which are computed.
@pytest.mark.parametrize("kind", ["models", "devices", "links"])
def test_the_catalogue_is_listed_without_numerics(kind):
    code, modules = imported_by("list", kind)
    assert code == 0
    assert modules & HEAVY <= {"pydantic"}


@pytest.mark.parametrize("engine", ["event", "analytical"])
def test_a_plain_prediction_imports_only_its_engine(engine):
    code, modules = imported_by(PLAN, "--engine", engine)
    assert code == 0
    assert modules & NEVER_IN_A_PREDICTION == set()
