"""The critical path: a chain that reaches from the start to the end of the step."""

from itertools import pairwise

import pytest
from hypothesis import given, settings

from simulator.api import simulate
from simulator.explain import contributions, critical_path, explain
from tests.laws.small_plans import plan, plans


@given(plans(max_degree=3))
@settings(derandomize=True, deadline=None, max_examples=40)
def test_the_critical_path_is_a_chain_without_gaps(small):
    result = simulate(small)
    spans = {id(span.op): span for span in result.timeline.spans}
    path = [spans[id(op)] for op in critical_path(result)]
    assert path[0].start == 0
    assert path[-1].end == result.step_time_s
    for before, after in pairwise(path):
        assert after.start == before.end


@given(plans(max_degree=3))
@settings(derandomize=True, deadline=None, max_examples=40)
def test_contributions_add_up_to_the_step(small):
    result = simulate(small)
    parts = contributions(result)
    total = sum(part.time for part in parts)
    # Sums of many kernels, in another order.
    assert total == pytest.approx(result.step_time_s, rel=1e-9)
    assert sum(part.share for part in parts) == pytest.approx(1, rel=1e-9)
    assert [part.time for part in parts] == sorted(
        (part.time for part in parts), reverse=True
    )


def test_every_contribution_has_formula_and_source():
    for part in contributions(simulate(plan(tensor=2, pipeline=2, data=2))):
        assert part.formula
        assert part.source


def test_explain_numbers_its_notes_and_sums_what_it_leaves_out():
    text = explain(simulate(plan(tensor=2)), num_shown=3)
    assert text.startswith("critical path, longest first\n")
    assert "[1]" in text
    assert " others" in text


def test_a_message_is_explained_by_the_formula_that_priced_it():
    parts = {
        part.name: part.formula
        for part in contributions(simulate(plan(tensor=2, pipeline=2, data=2)))
    }
    assert parts["gradient norm"].startswith("T = 2 ⌈log₂ n⌉ α")
    assert parts["gradients"].startswith("T = 2 (n - 1) α")
    assert parts["send F"] == "T = α + S / bandwidth"
