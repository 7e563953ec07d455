"""Imports run one way: models, topologies <- simulator <- calibration."""

import ast
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {"models": "", "topologies": "", "simulator": "models topologies"}
MAY_IMPORT["calibration"] = "models topologies simulator"
OURS = set(MAY_IMPORT)
LATER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)

# Heavy things, and the only modules that may load them, wherever in the file.
HEAVY = {
    "torch": "calibration",
    "simpy": "simulator/engines calibration",
    "networkx": "topologies",
    "matplotlib": "simulator/plot simulator/scaling",
    "pandas": "",
    "click": "simulator/cli",
    "pydantic": "simulator/plan.py simulator/one_collective/plan.py simulator/plans"
    " simulator/schema.py",
}

# Rooms that lie in another and need nothing of it, or all that is beside it.
APART = ("lowering.schedules", "torch_engine.studies")


def files_of(package):
    return sorted((ROOT / package).rglob("*.py"))


def name_of(path):
    """The dotted name of a module; a package goes by its own name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(source, *, at_load_only=False):
    """The top-level packages that a file imports, in any statement of it.

    Imports for type checkers are not counted as run at load, nor are those in
    functions.
    """
    modules = modules_of(source, at_load_only=at_load_only)
    return {name.partition(".")[0] for name in modules}


def modules_of(source, *, at_load_only=False):
    """The same with full names and all their parents."""
    return {
        ".".join(name.split(".")[: depth + 1])
        for node in _statements(ast.parse(source), at_load_only=at_load_only)
        for name in _names(node)
        for depth in range(name.count(".") + 1)
    }


def _names(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def _statements(node, *, at_load_only):
    for child in ast.iter_child_nodes(node):
        is_later = isinstance(child, LATER)
        test = child.test if isinstance(child, ast.If) else None
        is_typing = isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"
        if at_load_only and (is_later or is_typing):
            continue
        yield child
        yield from _statements(child, at_load_only=at_load_only)


def read(path):
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("package", sorted(OURS))
def test_imports_run_one_way(package):
    allowed = {package, *MAY_IMPORT[package].split()}
    for path in files_of(package):
        reversed_ = (imports_of(read(path)) & OURS) - allowed
        assert not reversed_, f"{path.relative_to(ROOT)} imports {sorted(reversed_)}"


@pytest.mark.parametrize("package", sorted(OURS))
def test_rooms_do_not_import_each_other_in_a_circle(package):
    """A room is a folder or file directly in a package, with all that is below it.

    What is imported for type checkers, or in functions, may look back.
    """
    rooms = {}
    for path in files_of(package):
        room = room_of(name_of(path), package)
        for node in _statements(ast.parse(read(path)), at_load_only=True):
            others = {room_of(name, package) for name in _names(node)}
            rooms.setdefault(room, set()).update(others - {room, ""})
    order = TopologicalSorter(rooms)
    order.prepare()  # raises where there is a circle, and names it


def room_of(name, package):
    """The room of a module; empty for the package itself and for other packages."""
    first, _, rest = name.partition(".")
    if first != package:
        return ""
    apart = [room for room in APART if f"{rest}.".startswith(f"{room}.")]
    return apart[0] if apart else rest.partition(".")[0]


@pytest.mark.parametrize("package", sorted(OURS))
def test_no_relative_imports(package):
    for path in files_of(package):
        for node in ast.walk(ast.parse(read(path))):
            level = getattr(node, "level", 0) if isinstance(node, ast.ImportFrom) else 0
            assert level == 0, f"{path.relative_to(ROOT)}:{node.lineno}"


@pytest.mark.parametrize("heavy", sorted(HEAVY))
def test_heavy_packages_stay_where_they_are_needed(heavy):
    places = [ROOT / place for place in HEAVY[heavy].split()]
    for package in OURS:
        for path in files_of(package):
            if heavy in imports_of(read(path)):
                is_allowed = any(path.is_relative_to(place) for place in places)
                assert is_allowed, f"{path.relative_to(ROOT)} imports {heavy}"


def test_drawing_is_not_loaded_before_something_is_drawn():
    """Modules that load matplotlib are loaded by each other, and inside functions."""
    loads = {
        name_of(path): modules_of(read(path), at_load_only=True)
        for path in files_of("simulator")
    }
    drawing = {name for name, modules in loads.items() if "matplotlib" in modules}
    drawing.add("simulator.plot")  # its modules draw, and importing one imports it
    for name in set(loads) - drawing:
        assert not loads[name] & drawing, f"{name} loads {loads[name] & drawing}"


def test_calibration_is_loaded_by_name_when_it_is_asked_for():
    # `import_module("calibration...")` inside a function: a string, not an import.
    for path in files_of("simulator"):
        tree = ast.parse(read(path))
        names = [
            node.args[0].value
            for node in _statements(tree, at_load_only=True)
            if isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith("import_module")
        ]
        assert names == [], f"{path.relative_to(ROOT)} loads {names}"


def test_every_import_is_declared():
    """What is imported is ours, python's, or in pyproject.toml."""
    project = read(ROOT / "pyproject.toml").replace("-", "_")
    known = OURS | set(sys.stdlib_module_names) | {"typing_extensions", "pydantic_core"}
    for package in sorted(OURS):
        for path in files_of(package):
            for name in imports_of(read(path)) - known:
                declared = f'"{name}>=' in project
                assert declared, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize(
    ("source", "found", "at_load"),
    [
        ("import torch.nn", {"torch"}, {"torch"}),
        ("from torch import nn", {"torch"}, {"torch"}),
        ("def f():\n    import torch", {"torch"}, set()),
        ("class A:\n    import torch", {"torch"}, {"torch"}),
        ("try:\n    import torch\nexcept ImportError: pass", {"torch"}, {"torch"}),
        ("if TYPE_CHECKING:\n    import torch", {"torch"}, set()),
        ("from . import a", set(), set()),
        ("name = 'import torch'", set(), set()),
    ],
)
def test_the_walk_finds_imports(source, found, at_load):
    assert imports_of(source) == found
    assert imports_of(source, at_load_only=True) == at_load
