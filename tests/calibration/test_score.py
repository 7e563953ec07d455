"""Scoring: the arithmetic on hand-made files, and the report's forms."""

import json

import jsonschema
import pytest

import calibration.scoring.score
from calibration.scoring.predictions import predict
from calibration.scoring.score import score_files
from simulator import Plan, simulate
from simulator.errors import PlanError

PLAN = {
    "model": {"family": "mlp", "widths": [784, 4096, 4096, 10]},
    "batch": {"global": 64, "micro": 64},
    "cluster": {"device": "a100-sxm4-80gb"},
}
HEAD = """
[meta]
title = "By hand"

[plan.model]
family = "mlp"
widths = [784, 4096, 4096, 10]

[plan.batch]
global = 64
micro = 64

[plan.cluster]
device = "a100-sxm4-80gb"
"""

SCHEMA = {
    "type": "object",
    "required": ["files"],
    "properties": {
        "files": {
            "type": "array",
            "items": {
                "type": "object",
                "required": [
                    *("file", "title", "rows", "fit_rows", "mape", "bias", "median"),
                    *("p90", "worst", "baselines"),
                ],
                "properties": {
                    "rows": {"type": "integer"},
                    "fit_rows": {"type": "integer"},
                    "mape": {"type": ["number", "null"]},
                    "bias": {"type": ["number", "null"]},
                    "worst": {
                        "type": ["object", "null"],
                        "required": ["id", "error"],
                    },
                    "baselines": {
                        "type": "object",
                        "additionalProperties": {"type": "number"},
                    },
                    "rows_detail": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["id", "measured", "predicted", "error"],
                        },
                    },
                },
            },
        }
    },
}


@pytest.fixture(scope="module")
def truth():
    return simulate(Plan.from_mapping(PLAN), engine="analytical")


def row(name, quantity, value, extra=""):
    return (
        f'\n[[row]]\nid = "{name}"\nmeasured = {{ {quantity} = {value!r} }}\n{extra}\n'
    )


@pytest.fixture
def score(tmp_path):
    def run(text, **options):
        path = tmp_path / "hand.toml"
        path.write_text(HEAD + text, encoding="utf-8")
        return score_files([path], **options)

    return run


def test_errors_are_predicted_over_measured_minus_one(score, truth):
    time = truth.step_time_s
    report = score(
        row("twice", "step_time_s", time / 2)
        + row("half", "step_time_s", time * 2)
        + row("equal", "step_time_s", time)
        + row("fitted", "step_time_s", time / 4, "fit = true")
    )
    file = report.to_json()["files"][0]
    assert (file["rows"], file["fit_rows"], file["scored_rows"]) == (4, 1, 3)
    assert file["mape"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert file["bias"] == pytest.approx((1 - 0.5 + 0) / 3)
    assert file["median"] == pytest.approx(0.5)
    assert file["p90"] == pytest.approx(0.5 + 0.8 * 0.5)
    assert file["worst"] == {"id": "twice", "error": pytest.approx(1)}
    assert file["fit"]["mape"] == pytest.approx(3)


@pytest.mark.parametrize(
    ("quantity", "attribute"),
    [
        ("step_time_s", "step_time_s"),
        ("samples_per_s", "samples_per_s"),
        ("tokens_per_s", "tokens_per_s"),
        ("mfu", "mfu"),
        ("memory_peak_bytes", "memory_peak_bytes"),
    ],
)
def test_what_is_scored_is_what_simulate_says(score, truth, quantity, attribute):
    report = score(row("a", quantity, 2 * getattr(truth, attribute)))
    assert report.files[0].rows[0].main.error == pytest.approx(-0.5, rel=1e-12)


@pytest.mark.parametrize("engine", ["analytical", "event"])
def test_both_engines_score(score, truth, engine):
    report = score(row("a", "step_time_s", truth.step_time_s), engine=engine)
    assert report.files[0].errors.mape < 1e-9


def test_a_speedup_is_a_ratio_of_throughputs(score, truth):
    twice = Plan.from_mapping(PLAN, {"batch.global": 128})
    ratio = simulate(twice, engine="analytical").samples_per_s / truth.samples_per_s
    report = score(
        row("one", "speedup", 1.0, 'relative_to = "one"')
        + row(
            "two",
            "speedup",
            ratio * 2,
            'relative_to = "one"\nset = { "batch.global" = 128 }',
        )
    )
    one, two = report.files[0].rows
    assert (one.main, one.reason) == (None, "speedups are relative to it")
    assert two.main.error == pytest.approx(-0.5)
    assert report.files[0].errors.rows == 1


def test_a_flop_speedup_compares_networks_of_different_size(score, truth):
    """Of one network, it is the speedup; of others, their FLOP count."""
    change = {"model.widths": [784, 4096, 10]}
    other = simulate(Plan.from_mapping(PLAN, change), engine="analytical")
    flop = [
        result.job.model.forward_flop() + result.job.model.backward_flop()
        for result in (truth, other)
    ]
    rates = [
        each * result.samples_per_s
        for each, result in zip(flop, (truth, other), strict=True)
    ]
    own = 'relative_to = "one"'
    widths = f'set = {{ "model.widths" = {change["model.widths"]} }}'
    report = score(
        row("one", "flop_speedup", 1.0, own)
        + row("two", "flop_speedup", rates[1] / rates[0], f"{own}\n{widths}")
    )
    assert report.files[0].rows[1].main.error == pytest.approx(0, abs=1e-9)


def test_further_quantities_stand_apart(score, truth):
    measured = f"step_time_s = {truth.step_time_s!r}, memory_peak_bytes"
    report = score(row("a", measured, truth.memory_peak_bytes / 2))
    file = report.to_json()["files"][0]
    assert file["mape"] == pytest.approx(0)
    assert file["quantities"]["memory_peak_bytes"]["mape"] == pytest.approx(1)


def test_an_invalid_row_is_counted_and_named(score, truth):
    report = score(
        row("good", "step_time_s", truth.step_time_s)
        + row("bad", "step_time_s", 1.0, 'set = { "batch.global" = 65 }'),
        rows=True,
    )
    file = report.to_json()["files"][0]
    assert (file["rows"], file["scored_rows"], file["invalid_rows"]) == (2, 1, 1)
    assert file["invalid"][0]["id"] == "bad"
    assert "batch.global=65" in file["invalid"][0]["reason"]
    assert file["rows_detail"][1]["error"] is None
    assert "1 row with an invalid plan" in report.text()


def test_what_is_not_predicted_of_such_a_plan_is_named(score, truth):
    both = f"step_time_s = {truth.step_time_s!r}, collective_time_s"
    report = score(row("both", both, 1.0) + row("one", "collective_time_s", 1.0))
    file = report.to_json()["files"][0]
    assert (file["rows"], file["scored_rows"], file["invalid_rows"]) == (2, 1, 0)
    assert "one: no collective_time_s is predicted of it" in report.text()


def test_only_invalid_rows(score):
    report = score(row("bad", "step_time_s", 1.0, 'set = { "batch.global" = 65 }'))
    assert report.to_json()["files"][0]["mape"] is None
    assert "bad" in report.text()


def test_constant_mfu_is_fitted_on_the_fit_rows(score):
    # Twice the batch, twice the FLOP: a constant share of peak predicts twice the time.
    report = score(
        '[baselines."constant MFU"]\ncompute = "constant-mfu"\n'
        + row("fitted", "step_time_s", 1.0, "fit = true")
        + row("double", "step_time_s", 1.0, 'set = { "batch.global" = 128 }')
    )
    file = report.to_json()["files"][0]
    assert file["baselines"] == {"constant MFU": pytest.approx(1.0)}
    flop = 3 * 64 * 2 * (784 * 4096 + 4096 * 4096 + 4096 * 10)
    unused = 64 * 2 * 784 * 4096  # the sample itself needs no gradient
    peak = 312e12  # bf16, the default
    details = file["baseline_details"]["constant MFU"]
    assert details["constant"] == pytest.approx((flop - unused) / peak)
    assert details["worst"]["id"] == "double"


def test_gpt_flop_of_the_baseline_are_the_papers():
    # 96 B s l h^2 (1 + s / 6h + V / 16lh): Narayanan et al., arXiv:2104.04473.
    batch, s, l, h, v = 8, 128, 4, 256, 1024  # noqa: E741
    plan = Plan.from_mapping(
        {
            "model": {
                "family": "gpt",
                "layers": l,
                "hidden": h,
                "heads": 4,
                "sequence_length": s,
                "vocabulary": v,
            },
            "batch": {"global": batch, "micro": 1},
            "parallelism": {"recompute": "full"},
            "training": {"precision": "fp16"},
            "cluster": {"device": "a100-sxm4-80gb"},
        }
    )
    flop = predict(plan).ideal_time_s * 312e12
    paper = 96 * batch * s * l * h**2 * (1 + s / (6 * h) + v / (16 * l * h))
    assert flop == pytest.approx(paper)


def test_json_has_the_promised_form(score, truth):
    text = row("a", "step_time_s", truth.step_time_s)
    for options in ({}, {"rows": True}):
        content = score(text, **options).to_json()
        jsonschema.validate(content, SCHEMA)
        assert ("rows_detail" in content["files"][0]) == bool(options)
        json.dumps(content, allow_nan=False)


def test_text_lists_every_row_if_asked(score, truth):
    text = "".join(
        row(f"row-{n}", "step_time_s", truth.step_time_s * (1 + n / 10))
        for n in range(8)
    )
    assert "row-0" not in score(text).text()
    assert "row-0" in score(text, rows=True).text()


def test_ctrl_c_keeps_what_is_finished(score, truth, monkeypatch):
    calls = []
    predict = calibration.scoring.score.predict

    def interrupted(plan, engine):
        calls.append(plan)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return predict(plan, engine)

    monkeypatch.setattr(calibration.scoring.score, "predict", interrupted)
    rows = "".join(row(n, "step_time_s", truth.step_time_s) for n in "abc")
    report = score(rows)
    assert report.is_interrupted
    assert [r.row.id for r in report.files[0].rows] == ["a"]
    assert report.to_json()["interrupted"]
    assert "Interrupted" in report.text()


def test_ctrl_c_before_anything_is_finished(score, monkeypatch):
    def interrupted(plan, engine):
        raise KeyboardInterrupt

    monkeypatch.setattr(calibration.scoring.score, "predict", interrupted)
    with pytest.raises(KeyboardInterrupt):
        score(row("a", "step_time_s", 1.0))


def test_faults_end_with_exit_code_two(score):
    with pytest.raises(PlanError) as error:
        score("")
    assert error.value.exit_code == 2
