"""Every formula is dimensionally sound: measured in other units, it says the same.

The unit of each argument and of the result stands in its annotation. Base units are
rescaled at random, by powers of two, so that floats lose nothing: a length of one
second becomes 0.25, a rate of 1 B/s becomes 4. A sound formula's result rescales by
its own unit. So do constants of a module whose annotation has a unit. Constant
factors are invisible to this; golden tables see them.
"""

import importlib
import inspect
import pkgutil
import sys
from dataclasses import fields, is_dataclass
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator.costs
from simulator.pricing import price
from tests.laws.small_plans import rescaled, unit_of
from topologies.units import Bytes, BytesPerSecond, Seconds

# Bindings of NumPy, without a unit of their own.
ELEMENTWISE = "simulator.costs.elementwise"


def cost_functions():
    """Every public function of simulator/costs."""
    package = simulator.costs
    names = [m.name for m in pkgutil.iter_modules(package.__path__, "simulator.costs.")]
    modules = [importlib.import_module(name) for name in names if name != ELEMENTWISE]
    return [
        function
        for module in modules
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_") and function.__module__ == module.__name__
    ]


PRICES = [
    price.kernel,
    price.message,
    price.Price.then,
    price.Price.beside,
    price.Price.repeat,
]
FORMULAS = [*cost_functions(), *PRICES]

amounts = st.integers(1, 1 << 20).map(float)
counts = st.integers(1, 4096)


def values(hint):
    """Positive values of an annotation."""
    unit = unit_of(hint)
    if unit == "1":
        return counts
    if unit is not None:
        return amounts
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if hint in {int, bool, str}:
        return {int: counts, bool: st.booleans(), str: st.just("")}[hint]
    if is_dataclass(hint):
        own = get_type_hints(hint, include_extras=True)
        return st.builds(hint, **{f.name: values(own[f.name]) for f in fields(hint)})
    raise TypeError(f"{hint} has no unit; annotate it, as in topologies/units.py")


def hints_of(function):
    """Annotations of a function's arguments and of its result, `self` included."""
    names = inspect.signature(function).parameters
    hints = get_type_hints(function, include_extras=True)
    if "self" in names:
        hints["self"] = price.Price
    missing = [name for name in (*names, "return") if name not in hints]
    if missing:
        raise TypeError(f"{function.__name__}: {missing} have no annotation")
    return hints


def bases():
    factors = st.integers(-20, 20).map(lambda power: 2.0**power)
    return st.fixed_dictionaries({"s": factors, "B": factors, "FLOP": factors})


def is_homogeneous(function, arguments, factors):
    hints = hints_of(function)
    changed = {
        name: rescaled(value, hints[name], factors) for name, value in arguments.items()
    }
    result = function(**arguments)
    with pytest.MonkeyPatch.context() as patch:
        # So are the constants of its module that have a unit.
        module = sys.modules[function.__module__]
        for name, hint in get_type_hints(module, include_extras=True).items():
            value = rescaled(getattr(module, name), hint, factors)
            patch.setattr(module, name, value)
        again = function(**changed)
    expected = rescaled(result, hints["return"], factors)
    return _numbers(again) == pytest.approx(_numbers(expected), rel=1e-9, abs=0)


def _numbers(value):
    if is_dataclass(value):
        return [float(getattr(value, field.name)) for field in fields(value)]
    return [float(value)]


def check(function):
    """Raise AssertionError with a counterexample, if there is one."""
    hints = hints_of(function)
    arguments = {name: values(hint) for name, hint in hints.items() if name != "return"}
    values(hints["return"])  # has to have a unit as well

    @given(st.fixed_dictionaries(arguments), bases())
    @settings(derandomize=True, deadline=None, max_examples=100, database=None)
    def every_example(example, factors):
        assert is_homogeneous(function, example, factors)

    every_example()


@pytest.mark.parametrize("function", FORMULAS, ids=lambda f: f.__qualname__)
def test_every_formula_is_homogeneous(function):
    check(function)


def test_there_are_formulas():
    names = {function.__name__ for function in FORMULAS}
    assert {"ring_all_reduce", "matrix_time", "then"} <= names


def multiplied(size: Bytes, bandwidth: BytesPerSecond) -> Seconds:
    return size * bandwidth


def with_a_hidden_constant(size: Bytes, bandwidth: BytesPerSecond) -> Seconds:
    return size / bandwidth + 1e-6


def mixed_up(size: Bytes, latency: Seconds) -> Seconds:
    return latency + size


@pytest.mark.parametrize("wrong", [multiplied, with_a_hidden_constant, mixed_up])
def test_wrong_formulas_are_rejected(wrong):
    with pytest.raises(AssertionError):
        check(wrong)


def without_a_unit(size: float) -> Seconds:
    return size


def without_a_unit_of_its_own(size: Bytes) -> float:
    return size


def without_annotations(size):
    return size


@pytest.mark.parametrize(
    "wrong", [without_a_unit, without_a_unit_of_its_own, without_annotations]
)
def test_formulas_without_units_are_rejected(wrong):
    with pytest.raises(TypeError):
        check(wrong)
