"""Every example plan says what it said when its expected output was committed."""

import pytest

from tests.plans.outcomes import EXPECTED, file_of, outcome, plans

EXPLAIN = (
    "the report changed. If that is meant, say why in CHANGELOG.md, and run"
    " `python -m tests.plans`"
)


@pytest.mark.parametrize("plan", plans(), ids=lambda plan: plan.stem)
def test_a_plan_is_reported_as_committed(plan):
    assert outcome(plan) == file_of(plan).read_text("utf-8"), EXPLAIN


@pytest.mark.parametrize("plan", plans(), ids=lambda plan: plan.stem)
def test_an_example_plan_runs_or_says_that_it_does_not_fit(plan):
    code = outcome(plan).splitlines()[1]
    assert code in {"exit code 0", "exit code 3"}


def test_there_is_no_expected_output_without_a_plan():
    assert sorted(EXPECTED.glob("*.txt")) == sorted(map(file_of, plans()))
