"""The names that notebooks import: there, typed, and loaded only when used."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import simulator

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", simulator.__all__)
def test_every_public_name_is_the_one_where_it_lives(name):
    value = getattr(simulator, name)
    home = import_module(value.__module__)
    assert getattr(home, name) is value
    assert value.__doc__


def test_public_names_are_sorted_and_offered_by_completion():
    assert simulator.__all__ == sorted(simulator.__all__)
    assert set(simulator.__all__) <= set(dir(simulator))


def test_a_name_that_is_none_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Pln'"):
        _ = simulator.Pln


def loaded_by(program: str) -> set[str]:
    script = (
        f"import sys\n{program}\nprint(*{{n.partition('.')[0] for n in sys.modules}})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    heavy = {"numpy", "scipy", "simpy", "networkx", "matplotlib", "pydantic", "click"}
    assert loaded_by("import simulator") & heavy == set()


def test_a_scaling_curve_needs_no_matplotlib():
    program = "from simulator import Plan, scale"
    assert loaded_by(program) & {"matplotlib", "pandas", "torch"} == set()
