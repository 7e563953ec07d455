"""Prefixes exist in `topologies/units.py` and nowhere else."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ["simulator", "models", "topologies", "calibration"]
HOME = ROOT / "topologies" / "units.py"

# Large powers are prefixes wherever they stand, but for comparisons and caps `MAX_*`.
LARGE = {10.0**n for n in (6, 9, 12, 15, 18)} | {2.0**n for n in (20, 30, 40, 50)}
# These are also sizes and tolerances: prefixes only as factors or named constants.
SMALL = {1024.0, 1e-3, 1e-6, 1e-9, 1e-12}
FACTORS = (ast.Mult, ast.Div, ast.FloorDiv, ast.Pow)


def value_of(node):
    """The number a literal or a power of two literals stands for, if any."""
    if isinstance(node, ast.Constant) and type(node.value) in {int, float}:
        return float(node.value)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        base, exponent = value_of(node.left), value_of(node.right)
        if base in {2.0, 10.0, 1000.0, 1024.0} and exponent is not None:
            return base**exponent
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.LShift):
        places = value_of(node.right)
        is_power = value_of(node.left) == 1 and places is not None
        return 2.0**places if is_power else None
    return None


def factors(node):
    """The expressions that `node` multiplies, divides or names as a constant."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, FACTORS):
        return [node.left, node.right]
    if isinstance(node, ast.AugAssign) and isinstance(node.op, FACTORS):
        return [node.value]
    if isinstance(node, ast.Assign) and all(
        isinstance(target, ast.Name) and target.id.isupper() for target in node.targets
    ):
        return [node.value]
    return []


def allowed(node):
    """The expressions under `node` that are bounds, whatever their size."""
    if isinstance(node, ast.Compare):
        return [node.left, *node.comparators]
    if isinstance(node, ast.Assign) and all(
        isinstance(target, ast.Name) and target.id.lstrip("_").startswith("MAX_")
        for target in node.targets
    ):
        return [node.value]
    return []


def unit_literals(source):
    """Lines of `source` with a literal that looks like a prefix."""
    nodes = list(ast.walk(ast.parse(source)))
    bounds = [part for node in nodes for part in allowed(node)]
    large = [node for node in nodes if value_of(node) in LARGE and node not in bounds]
    small = [
        part for node in nodes for part in factors(node) if value_of(part) in SMALL
    ]
    return sorted({node.lineno for node in (*large, *small)})


@pytest.mark.parametrize(
    "line",
    [
        "rate = 5 * 1e9",
        "rate /= 1e12",
        "size = 80 * 2**30",
        "size = 80 * 1024**3",
        "size = x / 1024",
        "size = 4 << 3 if x else 1 << 20",
        "GIGA = 10**9",
        "KIBI = 1024",
        "time = microseconds * 1e-6",
        "def f(rate=1_000_000): pass",
    ],
)
def test_guard_finds_prefixes(line):
    assert unit_literals(line) == [1]


@pytest.mark.parametrize(
    "line",
    [
        "layer = Linear(1024, 4096)",
        "close = abs(x - y) < 1e-6",
        "x = 2**n + 10 * y",
        "'''80 * 2**30 in a docstring'''",
        "batch = 1024",
        "MAX_LAYERS = 1_048_576",
        "exact = abs(value) < 1e15",
    ],
)
def test_guard_lets_sizes_and_tolerances_pass(line):
    assert unit_literals(line) == []


def test_no_prefix_outside_units():
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if path != HOME
        for line in unit_literals(path.read_text(encoding="utf-8"))
    ]
    assert found == [], f"prefixes belong in topologies/units.py: {found}"
