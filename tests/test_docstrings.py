"""Formulas say what they assume and where they are from; their examples run."""

import doctest
import importlib
import inspect
import pkgutil
import re
from typing import get_type_hints

import pytest

import simulator.costs
from topologies.units import Bytes, Seconds

PARTS = ("Assumes", "Source")


def cost_modules():
    """Modules of simulator/costs, but for the bindings of NumPy."""
    names = [m.name for m in pkgutil.iter_modules(simulator.costs.__path__)]
    names.remove("elementwise")
    return [importlib.import_module(f"simulator.costs.{name}") for name in names]


def public_functions(module):
    return [
        function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_") and function.__module__ == module.__name__
    ]


MODULES = cost_modules()
FUNCTIONS = [function for module in MODULES for function in public_functions(module)]


def faults(function):
    """What the docstring and the annotations of a formula lack."""
    text = inspect.getdoc(function) or ""
    lacking = [
        part for part in PARTS if not re.search(rf"^{part}: \S", text, re.MULTILINE)
    ]
    if not text.startswith("Return "):
        lacking.append("a first line that says what it returns")
    plain = get_type_hints(function)
    marked = get_type_hints(function, include_extras=True)
    for name in (*inspect.signature(function).parameters, "return"):
        if name not in plain:
            lacking.append(f"an annotation of {name}")
        elif plain[name] is float and not hasattr(marked[name], "__metadata__"):
            lacking.append(f"a unit of {name}")
    return lacking


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_a_formula_is_documented(function):
    assert faults(function) == []


def undocumented(size: Bytes, time: float, other) -> Seconds:
    """Guess."""
    return size * time * other


def test_what_a_formula_may_lack():
    assert faults(undocumented) == [
        "Assumes",
        "Source",
        "a first line that says what it returns",
        "a unit of time",
        "an annotation of other",
    ]


def test_there_are_formulas():
    assert len(FUNCTIONS) >= 6


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_examples_in_formulas_run(module):
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0


# Elsewhere the examples are few, but they run as well.
OTHERS = [
    "simulator.reporting.columns",
    "simulator.plans.dumping",
    "simulator.plans.splits",
    "simulator.plans.synonyms",
    "simulator.reporting.messages",
    "topologies.units",
]


@pytest.mark.parametrize("name", OTHERS)
def test_examples_elsewhere_run(name):
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0
