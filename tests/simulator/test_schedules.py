"""Schedules: what every one obeys, and the closed forms of their time and memory."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engines.event import simulate_events
from simulator.engines.graph import build_graph
from simulator.engines.longest_path import longest_path
from simulator.lowering.schedules.actions import Action
from simulator.lowering.schedules.checking import check, in_flight
from simulator.lowering.schedules.table import DESIGNS, Shape, schedule
from tests.oracles.reference import simulate
from tests.oracles.schedule_text import read, written
from tests.oracles.schedules import bubble, depth, workload

NAMES = list(DESIGNS)
# Seconds of F, I and W, in quarters so that not a bit is lost; of 1F1B, B is I and W.
COSTS = [(1.0, 1.0, 1.0), (3.0, 3.0, 2.0), (5.0, 4.0, 3.0), (6.0, 5.0, 0.25)]


@st.composite
def shapes(draw, names=NAMES, largest=16, most=64):
    """A schedule, and ranks, micro-batches and chunks that it takes."""
    name = draw(st.sampled_from(names))
    ranks = draw(st.integers(2, largest))
    chunks = draw(st.sampled_from([1, 2, 4])) if name == "interleaved" else 1
    number = draw(st.integers(1, most))
    if name == "interleaved":
        number = max(number // ranks, 1) * ranks
    if name == "zb-v":
        number = max(number, 2 * ranks)
    if name == "dualpipe":
        ranks += ranks % 2
        number = max(number + number % 2, 2 * ranks)
    limit = draw(st.sampled_from([1.0, 1.5, 2.0]))
    shape = Shape(ranks, number, chunks, limit=limit)
    assert DESIGNS[name].allows(shape) == ""
    return name, shape


def times_of(cost, chunks=1):
    return {kind: time / chunks for kind, time in zip("FIW", cost, strict=True)}


def own_stages(name, shape):
    """The stages of each rank, by the schedule's placement."""
    placement = DESIGNS[name].placement(shape.pipeline, shape.chunks)
    return [
        {stage for stage, ranks in enumerate(placement) if rank in ranks}
        for rank in range(shape.pipeline)
    ]


def idle(rows, ops, ends, prices):
    """What the slowest rank waits: in the step, and between its own ends."""
    busy = [0.0] * len(rows)
    first, last = [None] * len(rows), [0.0] * len(rows)
    for op, end in zip(ops, ends, strict=True):
        if op.stream == "compute":
            (rank,), time = op.ranks, prices[op.body].busy
            busy[rank] += time
            if first[rank] is None:
                first[rank] = end - time
            last[rank] = end
    spans = [end - begin for begin, end in zip(first, last, strict=True)]
    most = max(busy)
    return max(last) - most, max(spans) - most


@given(shapes())
@settings(derandomize=True, deadline=None, max_examples=150)
def test_every_schedule_is_valid(case):
    name, shape = case
    rows = DESIGNS[name].rows(shape)
    check(rows)
    passes = [action for row in rows for action in row]
    assert len(passes) == len(set(passes))
    assert {action.microbatch for action in passes} == set(range(shape.microbatches))
    stages = own_stages(name, shape)
    assert [{action.stage for action in row} for row in rows] == stages


@pytest.mark.parametrize("name", NAMES)
@given(st.data(), st.sampled_from(COSTS), st.sampled_from([0.0, 0.5]))
@settings(derandomize=True, deadline=None, max_examples=4)
def test_both_engines_run_every_schedule_as_the_reference_does(
    name, data, cost, transfer
):
    _, shape = data.draw(shapes([name]))
    rows = DESIGNS[name].rows(shape)
    run, prices = workload(rows, times_of(cost, shape.chunks), transfer)
    graph = build_graph(run, prices)
    expected = simulate(run, prices)
    assert expected == longest_path(graph).end
    assert expected == simulate_events(graph).end


@pytest.mark.parametrize("cost", COSTS, ids=str)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "zb-auto"])
@given(data=st.data())
@settings(derandomize=True, deadline=None, max_examples=5)
def test_bubbles_are_those_of_the_papers(name, cost, data):
    _, shape = data.draw(shapes([name]))
    rows = DESIGNS[name].rows(shape)
    size = (name, shape.pipeline, shape.microbatches, shape.chunks)
    expected = bubble(*size, times_of(cost))
    if expected is None:
        return
    chunks = DESIGNS[name].chunks or shape.chunks
    run, prices = workload(rows, times_of(cost, chunks))
    ends = longest_path(build_graph(run, prices)).end
    in_step, between_own_ends = idle(rows, run.ops, ends, prices)
    is_overlapping = name in {"zb-h2", "zb-v"}
    assert expected == (between_own_ends if is_overlapping else in_step)


@given(shapes())
@settings(derandomize=True, deadline=None, max_examples=150)
def test_activations_in_flight_are_those_of_the_papers(case):
    name, shape = case
    for rank, row in enumerate(DESIGNS[name].rows(shape)):
        expected = depth(name, rank, shape.pipeline, shape.microbatches, shape.chunks)
        if name == "zb-auto":
            assert in_flight(row) <= shape.limit * shape.pipeline
        else:
            assert expected == in_flight(row)


@given(shapes())
@settings(derandomize=True, deadline=None, max_examples=40)
def test_a_written_schedule_reads_back(case):
    name, shape = case
    rows = DESIGNS[name].rows(shape)
    assert read(written(rows)) == rows


def test_interleaving_one_chunk_takes_as_long_as_1f1b():
    times = times_of(COSTS[1])
    for ranks in range(2, 9):
        ends = []
        for name in ("1f1b", "interleaved"):
            run, prices = workload(schedule(name, ranks, 2 * ranks), times)
            ends.append(max(longest_path(build_graph(run, prices)).end))
        assert ends[0] == ends[1]


@pytest.mark.parametrize(
    ("name", "shape", "problem"),
    [
        ("interleaved", Shape(1, 2, 2), "at least 2"),
        ("interleaved", Shape(4, 6, 2), "rounds"),
        ("zb-v", Shape(4, 7), "at least 2 x 4 = 8"),
        ("dualpipe", Shape(3, 8), "even pipeline"),
        ("dualpipe", Shape(4, 9), "even number"),
        ("dualpipe", Shape(4, 6), "at least 2 x 4 = 8"),
    ],
)
def test_what_a_schedule_asks_for(name, shape, problem):
    assert problem in DESIGNS[name].allows(shape)


def test_nothing_is_in_flight_at_the_end():
    for rows in (schedule("1f1b", 4, 8), schedule("interleaved", 4, 8, 2)):
        for row in rows:
            kinds = [action.kind for action in row]
            assert kinds.count("F") == kinds.count("B")


def test_a_deadlock_is_shown_as_a_grid_with_arrows():
    # Rank 1 wants the gradient of micro-batch 1 first, rank 0 that of 0.
    rows = read("0F0,0B0,0F1,0B1\n1F0,1F1,1B1,1B0\n")
    with pytest.raises(ValueError, match="cannot run") as caught:
        check(rows)
    assert str(caught.value) == (
        "the schedule cannot run; each rank stops at the arrow:\n"
        "rank 0: 0F0 -> 0B0 0F1 0B1\n"
        "rank 1: 1F0 -> 1F1 1B1 1B0"
    )


@pytest.mark.parametrize(
    "text",
    [
        "0B0,0F0\n",  # a backward before its forward
        "0F0,0F0,0B0\n",  # a pass twice
        "0F0,0B0\n1B0,1F0\n",  # the same, on the last stage
        "0F0,0W0,0I0\n",  # weights before inputs
        "0F0,0B0,0I0,0W0\n",  # whole and in parts
        "0F0,0I0,0W0\n1F0,1W0,1I0\n",  # weights before inputs, on the last stage
    ],
)
def test_check_refuses(text):
    with pytest.raises(ValueError, match="cannot run"):
        check(read(text))


@pytest.mark.parametrize(
    ("text", "lacking"),
    [("0F0\n", "0B0"), ("0F0,0I0\n", "0W0"), ("0F0,0I0,0W0\n1F0,1I0\n", "1W0")],
)
def test_check_names_what_is_missing(text, lacking):
    with pytest.raises(ValueError, match=f"lacks {lacking}\nrank 0: 0F0"):
        check(read(text))


def test_stages_may_differ_in_how_they_run_backward():
    check(read("0F0,0B0\n1F0,1I0,1W0\n"))


def test_a_rank_that_is_done_has_no_arrow():
    rows = read("0F0\n1B0,1F0\n")
    with pytest.raises(ValueError, match="rank 0: 0F0\nrank 1: -> 1B0 1F0"):
        check(rows)


@pytest.mark.parametrize("text", ["", "F0", "0f0", "0F", "0V0", "-1F0", "0F0F"])
def test_what_is_no_action(text):
    with pytest.raises(ValueError, match="is no action; write such as '2F0'"):
        Action.parse(text)
