"""Fitting: known constants come back from rows that the model itself has made."""

import tomllib
from dataclasses import replace

import numpy as np
import pytest

from calibration.fitting.declaration import (
    FITS,
    Declaration,
    Fitted,
    Fixed,
    read_declaration,
)
from calibration.fitting.profile import fit
from calibration.fitting.profile_file import profile_text
from calibration.fitting.repricing import structure, unit_of, with_constants
from calibration.fitting.rows import Rows, folds, lowered_rows
from calibration.score_files.files import read_score_files
from simulator import Plan, simulate
from simulator.errors import PlanError
from topologies.profile_file import load_profile, parse_profile

GPT = {
    "model": {
        "family": "gpt",
        "layers": 4,
        "hidden": 1024,
        "heads": 16,
        "sequence_length": 512,
        "vocabulary": 1024,
    },
    "batch": {"global": 16, "micro": 2},
    "parallelism": {"recompute": "full"},
    "training": {"precision": "fp16"},
    "cluster": {
        "device": "a100-sxm4-80gb",
        "devices_per_node": 4,
        "fabric": "nvlink-3",
    },
}
CHANGES = [
    {"parallelism.tensor": tensor, "parallelism.pipeline": pipeline, **more}
    for tensor, pipeline in ((1, 1), (2, 1), (4, 1), (1, 2), (2, 2), (1, 4))
    for more in (
        {},
        {"model.hidden": 4096, "batch.micro": 4, "model.sequence_length": 2048},
    )
]
MOVED = {
    "matrix_efficiency": (0.7, 0.95, 0.8),
    "host_forward": (20e-6, 120e-6, 40e-6),
    "links.nvlink-3.transfer": (10e-6, 800e-6, 100e-6),
}


@pytest.fixture(scope="module")
def declaration():
    """The A100's constants fixed where they are, but for three."""
    real = read_declaration("a100")
    known = real.values({fitted.name: fitted.start for fitted in real.fitted})
    return Declaration(
        profile="synthetic",
        title="Synthetic",
        on=real.on[:1],
        loss_scale=0.02,
        folds=3,
        fitted=tuple(
            Fitted(name=name, start=start, low=low, high=high, why="a test")
            for name, (low, high, start) in MOVED.items()
        ),
        fixed=tuple(
            Fixed(
                name=name,
                text=f"{value!r} {unit_of(name)}".removesuffix(" 1"),
                why="a test",
            )
            for name, value in known.items()
            if name not in MOVED
        ),
        same={},
    )


@pytest.fixture(scope="module")
def structures(declaration):
    profile = declaration.start_profile()
    return tuple(structure(Plan.from_mapping(GPT, c), profile) for c in CHANGES)


def rows_of(structures, profile):
    times = np.array([float(one.step_times(profile)[0]) for one in structures])
    return Rows(
        ids=tuple(map(str, range(len(times)))),
        structures=structures,
        measured=times,
        groups=np.zeros(len(times), dtype=np.int64),
    )


TRUTH = {
    "matrix_efficiency": 0.88,
    "host_forward": 71e-6,
    "links.nvlink-3.transfer": 310e-6,
}


def test_known_constants_come_back(declaration, structures):
    truth = with_constants(declaration.start_profile(), TRUTH)
    found = fit(declaration, rows_of(structures, truth))
    assert found.values == {n: pytest.approx(v, rel=1e-3) for n, v in TRUTH.items()}
    assert found.at_bound == ()
    assert np.abs(found.errors).max() < 1e-3
    low, high = found.interval()
    assert -1e-3 < low <= high < 1e-3


def test_a_wild_row_bends_little(declaration, structures):
    truth = with_constants(declaration.start_profile(), TRUTH)
    rows = rows_of(structures, truth)
    wild = rows.measured.copy()
    wild[3] *= 2
    found = fit(declaration, replace(rows, measured=wild))
    assert found.values["matrix_efficiency"] == pytest.approx(0.88, rel=0.05)
    assert found.values["host_forward"] == pytest.approx(71e-6, rel=0.05)


def test_the_same_rows_give_the_same_file(declaration, structures):
    truth = with_constants(declaration.start_profile(), TRUTH)
    texts = [
        profile_text(fit(declaration, rows_of(structures, truth)), "2026-01-01")
        for _ in range(2)
    ]
    assert texts[0] == texts[1]
    table = tomllib.loads(texts[0])
    profile = parse_profile("synthetic", table)
    assert profile.host_forward == pytest.approx(71e-6, rel=1e-3)
    assert set(table["reasons"]) >= set(TRUTH)
    assert table["fit"]["rows"] == len(CHANGES)
    assert len(table["covariance_of_logs"]["rows"]) == len(TRUTH)


def test_a_constant_at_its_bound_is_named(declaration, structures):
    beyond = TRUTH | {"matrix_efficiency": 0.99}
    truth = with_constants(declaration.start_profile(), beyond)
    found = fit(declaration, rows_of(structures, truth))
    assert found.at_bound == ("matrix_efficiency",)
    assert found.standard_errors["matrix_efficiency"] is None
    assert found.covariance.shape == (2, 2)


def test_repricing_equals_simulating_afresh(structures):
    profile = load_profile("a100")
    other = with_constants(profile, {"host_forward": 50e-6, "links.nvlink-3.hop": 5e-6})
    for one, changes in zip(structures, CHANGES, strict=True):
        plan = Plan.from_mapping(GPT, changes)
        for constants in (profile, other):
            afresh = simulate(plan, engine="analytical", profile=constants).step_time_s
            assert one.step_times(constants)[0] == pytest.approx(afresh, rel=1e-12)


def test_many_profiles_at_once_equal_each_alone(structures):
    profile = load_profile("a100")
    values = np.array([0.6, 0.7, 0.8])
    together = with_constants(profile, {"matrix_efficiency": values})
    for one in structures:
        alone = [
            one.step_times(replace(profile, matrix_efficiency=float(v)))[0]
            for v in values
        ]
        assert one.step_times(together, 3) == pytest.approx(alone, rel=1e-12)


def test_folds_hold_every_row_out_once(declaration, structures):
    rows = rows_of(structures, declaration.start_profile())
    held = folds(replace(rows, groups=np.arange(len(CHANGES)) % 2), 3)
    assert sum(held).tolist() == [1] * len(CHANGES)


def test_files_have_the_same_weight(declaration, structures):
    rows = rows_of(structures, declaration.start_profile())
    groups = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1])
    weights = replace(rows, groups=groups).weights(np.ones(12, dtype=bool))
    assert weights[:9].sum() == pytest.approx(weights[9:].sum())
    assert weights.sum() == pytest.approx(12)


# -- what is committed -----------------------------------------------------------------


def test_the_declared_fit_is_complete():
    declaration = read_declaration("a100")
    assert all(fitted.why for fitted in declaration.fitted)
    assert all(fixed.why for fixed in declaration.fixed)
    files = read_score_files(declaration.on)
    rows = sum(row.is_fit for file in files for row in file.rows)
    assert rows == 13 + 80


def test_only_fit_rows_are_lowered(tmp_path):
    declaration = read_declaration("a100")
    source = declaration.on[0]
    text = source.read_text(encoding="utf-8").replace("fit_every = 3", "fit_rows = [4]")
    (tmp_path / source.name).write_text(text, encoding="utf-8")
    table = source.with_suffix(".csv")
    (tmp_path / table.name).write_bytes(table.read_bytes())
    files = read_score_files([tmp_path])
    rows = lowered_rows(files, declaration.start_profile())
    assert [name.rpartition(": ")[2] for name in rows.ids] == ["line 6"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "[fixed.host_step]",
            "[fixed.step]",
            "fixed.step: is no constant of a profile",
        ),
        ('low = "20 us"', 'low = "200 us"', "needs 0 < low < start < high"),
        ('low = "20 us"', 'low = "20 GB"', "'20 GB' is an amount of data"),
        ('low = "20 us"', "", "fitted.host_forward.low: is missing"),
        ("folds = 5", "", "folds: is missing"),
        ('= "links.nvlink-3.start"', '= "nothing"', "neither fitted nor fixed"),
    ],
)
def test_faults_of_a_declaration(tmp_path, old, new, message):
    text = read_declaration_text().replace(old, new, 1)
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    with pytest.raises(PlanError) as error:
        read_declaration("mine", tmp_path)
    assert message in str(error.value)
    assert f"{tmp_path / 'mine.toml'}:" in str(error.value)


def read_declaration_text():
    return (FITS / "a100.toml").read_text(encoding="utf-8")
