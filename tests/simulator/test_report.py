"""The report that a person reads."""

import pytest

from simulator.api import simulate
from simulator.plan import Plan
from simulator.reporting.report import text_report
from tests.laws.small_plans import plan


def report(given_plan):
    return text_report(simulate(given_plan))


def test_the_heading_says_what_runs_where():
    text = report(
        plan(
            tensor=2,
            pipeline=2,
            data=2,
            schedule="interleaved",
            chunks=2,
            sequence=True,
        ).replace({"title": "A title"})
    )
    assert text.startswith("A title\n")
    assert "on 8 devices: 1 x 8 a100-sxm4-80gb" in text
    assert "tensor 2 (with sequence) x pipeline 2 of 2 chunks x data 2" in text


def test_the_answer_comes_with_its_interval():
    result = simulate(plan())
    text = text_report(result)
    assert "step time" in text
    assert "in nine of ten cases" in text
    assert "MFU" in text
    assert result.interval_s[0] < result.step_time_s < result.interval_s[1]


def test_large_throughputs_are_written_out():
    text = report(Plan.load("plans/mlp-1gpu-small.toml"))
    (line,) = [line for line in text.splitlines() if "throughput" in line]
    figure = line.split()[1]
    assert "e+" not in figure
    assert float(figure.replace(",", "")) > 10000


def test_a_part_beyond_the_memory_has_a_whole_bar():
    too_large = plan(layers=64, hidden=8192)
    assert max(line.count("█") for line in report(too_large).splitlines()) == 24


def test_parts_that_are_nothing_are_left_out():
    assert "pipeline bubble" not in report(plan())
    assert "pipeline bubble" in report(plan(pipeline=2))


def test_a_plan_that_does_not_fit_says_so():
    result = simulate(plan(layers=2, hidden=32768, heads=256, length=2048))
    assert result.status == "out_of_memory"
    assert "DOES NOT FIT: needs " in text_report(result)


def test_the_fullest_rank_of_a_pipeline_is_named():
    assert "(pipeline rank " in report(plan(pipeline=2))
    assert "(pipeline rank " not in report(plan())


@pytest.mark.parametrize("engine", ["analytical", "event"])
def test_the_report_says_which_engine_and_profile(engine):
    result = simulate(plan(), engine=engine)
    text = text_report(result)
    assert f"engine {engine}, plan " in text
    assert f"profile '{result.job.profile.name}'" in text
