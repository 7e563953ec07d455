"""Every malformed plan is answered in full: place, key, what is wrong, remedy.

The files in `tests/malformed` carry their own expectation, in comments that begin
with `#!`; what cannot stand in such a file is generated here.
"""

import fnmatch
from pathlib import Path
from typing import get_args

import pytest

from simulator.errors import PlanError
from simulator.plan import Plan
from simulator.plans import fields, synonyms
from simulator.plans.records import SECTIONS, plan_keys

ROOT = Path(__file__).parents[2]
MALFORMED = sorted((ROOT / "tests" / "malformed").glob("*.toml"))
GPT = ROOT / "plans" / "gpt-175b-512gpu.toml"


def fault_lines(path: Path | str, overrides: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(PlanError) as caught:
        Plan.load(path, overrides)
    *lines, count = str(caught.value).splitlines()
    plural = "s" * (len(lines) != 1)
    assert count == f"{len(lines)} problem{plural} in {path}"
    return [line.removeprefix(f"{path}:") for line in lines]


def matches(line: str, expected: str) -> bool:
    if expected.endswith("..."):
        return line.startswith(expected.removesuffix("..."))
    return line == expected


@pytest.mark.parametrize("path", MALFORMED, ids=lambda path: path.stem)
def test_every_fault_is_named_with_its_place_and_its_remedy(path):
    comments = path.read_text(encoding="utf-8").splitlines()
    expected = [c.removeprefix("#! ") for c in comments if c.startswith("#! ")]
    found = fault_lines(path)
    assert len(found) == len(expected), found
    for line, wanted in zip(found, expected, strict=True):
        assert matches(line, wanted), f"\n{line}\n{wanted}"


def test_there_are_enough_malformed_plans():
    assert len(MALFORMED) >= 25


@pytest.mark.parametrize("path", MALFORMED, ids=lambda path: path.stem)
def test_messages_speak_of_plans_not_of_python(path):
    text = "\n".join(fault_lines(path))
    for foreign in ("Section", "pydantic", "Input should", "Extra inputs", "None"):
        assert foreign not in text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            b"",
            (
                "1:1: file: is empty; a plan needs the tables [model], [batch] "
                "and [cluster]"
            ),
        ),
        (
            b" \n\t\n",
            (
                "1:1: file: is empty; a plan needs the tables [model], [batch] "
                "and [cluster]"
            ),
        ),
        (
            b"[model]\nname = \x00",
            (
                "2:8: file: is not UTF-8 text: a zero byte at offset 15; "
                "a plan is a TOML file"
            ),
        ),
        (
            b"# caf\xe9\n",
            (
                "1:6: file: is not UTF-8 text: byte 0xe9 at offset 5; "
                "a plan is a TOML file"
            ),
        ),
        (
            b"\x7fELF\x02\x01\x01\x00",
            (
                "1:8: file: is not UTF-8 text: a zero byte at offset 7; "
                "a plan is a TOML file"
            ),
        ),
        (
            "[model]\n".encode("utf-16"),
            "1:1: file: is UTF-16 text; save it as UTF-8",
        ),
        (
            b"#" * 10_000_001,
            "1:1: file: is larger than 10 MB, which no plan is",
        ),
        (
            b"[batch]\nmicro = " + b"9" * 5000,
            "2:9: syntax: a number has too many digits",
        ),
        (
            b"[model]\nwidths = " + b"[" * 5000,
            "1:1: syntax: arrays or tables are nested too deeply",
        ),
    ],
    ids=[
        *("empty", "blank", "zero-byte", "latin-1", "binary", "utf-16", "huge"),
        *("digits", "nested"),
    ],
)
def test_files_that_are_no_plans(tmp_path, content, expected):
    path = tmp_path / "plan.toml"
    path.write_bytes(content)
    assert fault_lines(path) == [expected]


def test_a_missing_file_is_answered_with_the_nearest_plan(tmp_path):
    (tmp_path / "gpt-175b.toml").touch()
    found = fault_lines(tmp_path / "gpt-157b.toml")
    near = tmp_path / "gpt-175b.toml"
    assert found == [f"1:1: file: does not exist; did you mean '{near}'?"]


def test_a_missing_folder_and_a_file_as_folder(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "no" / "plan.toml", tmp_path / "file" / "plan.toml"):
        assert fault_lines(path) == ["1:1: file: does not exist"]


def test_a_folder_is_answered_with_the_plans_in_it(tmp_path):
    (tmp_path / "a.toml").touch()
    remedy = "name a file in it: a.toml"
    assert fault_lines(tmp_path) == [f"1:1: file: is a folder, not a plan; {remedy}"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            PermissionError(13, "Permission denied"),
            "1:1: file: may not be read; check its permissions",
        ),
        (
            OSError(5, "Input/output error"),
            "1:1: file: cannot be read: Input/output error",
        ),
    ],
    ids=["permission", "device"],
)
def test_a_file_that_cannot_be_read(monkeypatch, error, expected):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    assert fault_lines("plan.toml") == [expected]


def test_a_name_that_is_too_long():
    assert fault_lines("x" * 5000) == ["1:1: file: cannot be read: File name too long"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "parallelism.tensr=4",
            "--set parallelism.tensr=4: unknown key 'tensr'; did you mean 'tensor'? *",
        ),
        (
            "parallelism.tensor=7",
            (
                "--set parallelism.tensor=7: parallelism.data: 7 tensor x 8 pipeline = "
                "56 devices a replica, but *; tensor = 8 would fit"
            ),
        ),
        (
            "cluster.network.bandwidth=25 GB",
            "--set cluster.network.bandwidth=25 GB: '25 GB' is an amount of data; *",
        ),
        (
            'parallelism.layers=[{ match = "*", recompute = "no" }]',
            "--set parallelism.layers=*: parallelism.layers[[]0].recompute: unknown *",
        ),
        ("modl.name=x", "--set modl.name=x: modl: unknown key 'modl'; did you *"),
        ("parallelism=8", "--set parallelism=8: takes a table, got 8; its keys *"),
        (
            "cluster.device.name=x",
            "--set cluster.device.name=x: 'cluster.device' holds a value, not a table",
        ),
        ("batch.global=", "--set batch.global=: is missing; add global = 1536"),
        ("batch.micro=1\nx=2", "--set batch.micro=1*"),
        ("parallelism..tensor=8", "--set parallelism..tensor=8: *unknown key ''*"),
    ],
)
def test_faults_of_the_command_line_say_which_option(override, expected):
    with pytest.raises(PlanError) as caught:
        Plan.load(GPT, [override])
    assert fnmatch.fnmatchcase(caught.value.faults[0].text(), expected), caught.value


def test_an_option_without_a_value():
    with pytest.raises(PlanError, match="write --set KEY=VALUE, such as"):
        Plan.load(GPT, ["parallelism.tensor"])


def test_a_mapping_without_a_file_has_keys_and_no_places():
    with pytest.raises(PlanError) as caught:
        Plan.from_mapping({"model": {"name": "gpt2"}, "batch": 3})
    assert str(caught.value).splitlines() == [
        "batch: takes a table, got 3; its keys are: global, micro",
        (
            "cluster: the table is missing; add [cluster] with device = "
            '"a100-sxm4-80gb", nodes and devices_per_node'
        ),
        "2 problems in the plan",
    ]


def test_a_pyproject_is_not_offered_as_a_plan(tmp_path):
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "gpt.toml").touch()
    (found,) = fault_lines(tmp_path / "resnet.toml")
    assert found.endswith("does not exist; plans in that folder: gpt.toml")


def test_an_override_in_python_is_named():
    with pytest.raises(PlanError, match=r"override batch\.micro='2': takes a whole"):
        Plan.load(GPT).replace({"batch.micro": "2"})


def test_synonyms_stand_for_keys_that_there_are():
    """And each for one, under a name that is no key of ours with another meaning."""
    ours = {*plan_keys(), *SECTIONS}
    assert set(synonyms.KEYS) <= ours
    others = [name for names in synonyms.KEYS.values() for name in names]
    assert len(set(others)) == len(others)
    assert not set(others) & set(synonyms.ADVICE)
    assert {key.rpartition(".")[2] for key in ours} & set(others) == {"network"}


def test_values_of_others_stand_for_values_that_there_are():
    kinds = {
        "precision": fields.Precision,
        "optimizer": fields.Optimizer,
        "schedule": fields.Schedule,
        "recompute": fields.Recompute,
        "attention": fields.Attention,
        "context_method": fields.ContextMethod,
        "scheme": fields.Scheme,
    }
    for name, kind in kinds.items():
        values = synonyms.VALUES[name]
        assert set(values.values()) <= set(get_args(kind))
        assert not set(values) & set(get_args(kind))
