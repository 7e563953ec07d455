"""The critical path: a chain that reaches from the start to the end of the step."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.api import simulate
from simulator.reporting.explain import contributions, critical_path, explain
from tests.laws.small_plans import networked, plan, plans
from tests.laws.spread_plans import EXPERTS, spread, spread_plans


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


@given(st.one_of(plans(max_degree=3), spread_plans(max_degree=2)))
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
    time = "T = steps · α + port bytes / bandwidth, steps ="
    assert parts["gradient norm"].startswith(f"tree, protocol simple: {time} 2 ⌈log₂")
    assert parts["gradients"].startswith(f"ring, protocol ll128: {time} 2 (n - 1)")
    assert parts["send F"] == "T = α + S / bandwidth"


def test_the_formula_is_that_of_the_algorithm_chosen():
    small = networked("switch", data=8, algorithm="halving-doubling", hidden=512)
    (part,) = [p for p in contributions(simulate(small)) if p.name == "gradients"]
    assert part.formula.startswith("halving-doubling, protocol simple: T = steps · α")
    assert "2 log₂ p" in part.formula
    assert part.source.startswith("Thakur, Rabenseifner and Gropp")


def test_a_message_on_shared_links_is_explained_in_a_sentence():
    result = simulate(networked("ring", data=4, hidden=512))
    (part,) = [p for p in contributions(result) if p.name == "gradients"]
    assert "at the max-min fair rate of the links it shares" in part.formula
    assert "Bertsekas and Gallager" in part.source


def test_exchanges_of_tokens_and_of_keys_name_their_formula():
    text = explain(
        simulate(
            spread(
                data=2, context=2, expert=4, experts=EXPERTS, length=4096, per_node=1
            )
        ),
        num_shown=99,
    )
    assert "dispatch all-to-all" in text
    assert "direct, protocol simple: T = steps" in text
    assert "keys and values neighbour-exchange" in text
