"""Passes that run as one: which they are, that they can, and their bubble."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engines.event import simulate_events
from simulator.engines.graph import build_graph
from simulator.engines.longest_path import longest_path
from simulator.errors import PlanError
from simulator.lowering.schedules.checking import check, in_flight
from simulator.lowering.schedules.table import DESIGNS, Shape
from tests.laws.small_plans import plan
from tests.oracles.reference import simulate
from tests.oracles.schedules import workload

PAIRED = [name for name, design in DESIGNS.items() if design.pairs]


@st.composite
def paired(draw, name, largest=16, most=64):
    """The rows of a shape that a schedule takes, and their pairs."""
    ranks, number = draw(st.integers(2, largest)), draw(st.integers(1, most))
    chunks = 1
    if name == "interleaved":
        chunks = draw(st.sampled_from([2, 4]))
        number = max(number // ranks, 1) * ranks
    else:
        ranks += ranks % 2
        number = max(number + number % 2, 2 * ranks)
    shape = Shape(ranks, number, chunks, is_paired=True)
    rows = DESIGNS[name].rows(shape)
    return shape, rows, DESIGNS[name].pairs(rows)


def test_only_two_schedules_have_pairs():
    assert {"dualpipe", "interleaved"} == set(PAIRED)


@pytest.mark.parametrize("name", PAIRED)
@given(data=st.data())
@settings(derandomize=True, deadline=None, max_examples=40)
def test_pairs_can_run_and_are_of_different_samples(name, data):
    _, rows, pairs = data.draw(paired(name))
    check(rows, pairs)
    for forward, backward in pairs.items():
        assert (forward.kind, backward.kind) == ("F", "B")
        assert forward.microbatch != backward.microbatch


@pytest.mark.parametrize("name", PAIRED)
@given(data=st.data())
@settings(derandomize=True, deadline=None, max_examples=8)
def test_both_engines_run_pairs_as_the_reference_does(name, data):
    _, rows, pairs = data.draw(paired(name, largest=8, most=24))
    run, prices = workload(rows, {"F": 3.0, "I": 3.0, "W": 2.0}, 0.5, pairs)
    graph = build_graph(run, prices)
    expected = simulate(run, prices)
    assert None not in expected
    assert expected == longest_path(graph).end
    assert expected == simulate_events(graph).end


@given(paired("dualpipe"), st.sampled_from([(1.0, 1.0), (3.0, 2.0), (4.0, 0.25)]))
@settings(derandomize=True, deadline=None, max_examples=20)
def test_the_bubble_of_pairs_in_both_directions_is_the_published_one(case, cost):
    """(p / 2 - 1) (F&B + B - 3 W), by the README of deepseek-ai/DualPipe.

    F&B is of a pair, here F + B, and B = I + W; a forward is as long as an I.
    """
    shape, rows, pairs = case
    forward, weights = cost
    times = {"F": forward, "I": forward, "W": weights}
    run, prices = workload(rows, times, pairs=pairs)
    end = max(longest_path(build_graph(run, prices)).end)
    whole = forward + weights
    busy = shape.microbatches * (forward + whole)
    expected = (shape.pipeline // 2 - 1) * (forward + whole + whole - 3 * weights)
    assert expected == end - busy


@given(paired("interleaved"))
@settings(derandomize=True, deadline=None, max_examples=10)
def test_interleaved_pairs_have_the_bubble_of_interleaving_and_keep_one_chunk_more(
    case,
):
    """(p - 1) (F + B) of one chunk; one more forward before the first backward."""
    shape, rows, pairs = case
    times = {"F": 1.0, "I": 1.0, "W": 1.0}
    run, prices = workload(rows, times, pairs=pairs)
    end = max(longest_path(build_graph(run, prices)).end)
    chunks = shape.microbatches * shape.chunks
    assert 3.0 * (chunks + shape.pipeline - 1) == end
    plain = DESIGNS["interleaved"].rows(shape._replace(is_paired=False))
    for row, without in zip(rows, plain, strict=True):
        assert in_flight(row) == min(in_flight(without) + 1, chunks)


def test_the_two_ranks_in_the_middle_begin_apart():
    """Step 4 of four ranks and eight micro-batches, as the golden file has it.

    Rank 0: 0F3 3B5 and so on, all in pairs; rank 1: 1F2 2B4 apart, then 2F6 1B0.
    """
    rows = DESIGNS["dualpipe"].rows(Shape(4, 8))
    pairs = {str(one): str(two) for one, two in DESIGNS["dualpipe"].pairs(rows).items()}
    assert (pairs["0F3"], pairs["2F6"]) == ("3B5", "1B0")
    assert "1F2" not in pairs


@pytest.mark.parametrize("name", sorted(set(DESIGNS) - set(PAIRED)))
def test_other_schedules_refuse_pairs(name):
    with pytest.raises(PlanError, match="no forward and backward can run as one"):
        plan(pipeline=4, microbatches=8, layers=8, schedule=name).replace(
            {"parallelism.overlap_passes": True}
        )
