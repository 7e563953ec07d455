"""Schedules: what every one obeys, and the closed forms of their time and memory."""

import pytest

from simulator.engines.event import simulate_events
from simulator.engines.graph import build_graph
from simulator.engines.longest_path import longest_path
from simulator.lowering.schedules import (
    Action,
    check,
    dump_schedule,
    in_flight,
    load_schedule,
    schedule,
)
from simulator.price import Price
from simulator.workload import Body, Op, Role, Workload

RANKS = range(1, 9)
MICROBATCHES = range(1, 17)
CHUNKS = range(1, 5)
FLAT = ["gpipe", "1f1b"]
COSTS = [(1.0, 2.0), (1.0, 1.0), (3.0, 0.5)]  # seconds of a forward and a backward


def interleaved_sizes():
    """Ranks, micro-batches and chunks that the interleaved schedule takes."""
    return [
        (ranks, rounds * ranks, chunks)
        for ranks in RANKS
        for rounds in range(1, 1 + max(MICROBATCHES) // ranks)
        for chunks in CHUNKS
    ]


def makespan(rows, forward, backward):
    """The time of a schedule with equal stages and transfers that take no time."""
    bodies = {"F": Body("F", "forward", ()), "B": Body("B", "backward", ())}
    times = {"F": forward, "B": backward}
    prices = {
        bodies[kind]: Price(time, time, 0.0, time, 0.0) for kind, time in times.items()
    }
    actions = [(rank, action) for rank, row in enumerate(rows) for action in row]
    index = {action: i for i, (_, action) in enumerate(actions)}
    last = max(action.stage for action in index)

    def after(action):
        stage, kind, microbatch = action
        step = -1 if kind == "F" else 1
        before = [index.get(Action(stage + step, kind, microbatch))]
        if kind == "B" and stage == last:
            before = [index[Action(stage, "F", microbatch)]]
        return tuple(i for i in before if i is not None)

    ops = tuple(
        Op(str(action), (rank,), "compute", bodies[action.kind], after(action), False)
        for rank, action in actions
    )
    roles = tuple(Role(0, rank, 0, 1) for rank in range(len(rows)))
    graph = build_graph(Workload(roles, ops), prices)
    path, events = longest_path(graph), simulate_events(graph)
    assert path.end == events.end
    return max(path.end)


def assert_valid(rows, stages, microbatches):
    check(rows)
    every = {
        Action(stage, kind, microbatch)
        for stage in range(stages)
        for kind in "FB"
        for microbatch in range(microbatches)
    }
    assert sorted(action for row in rows for action in row) == sorted(every)
    for rank, row in enumerate(rows):
        assert {action.stage % len(rows) for action in row} == {rank}


@pytest.mark.parametrize("name", FLAT)
@pytest.mark.parametrize("ranks", RANKS)
def test_flat_schedules_are_valid(name, ranks):
    for microbatches in MICROBATCHES:
        assert_valid(schedule(name, ranks, microbatches), ranks, microbatches)


@pytest.mark.parametrize("chunks", CHUNKS)
def test_interleaved_schedules_are_valid(chunks):
    for ranks, microbatches, own in interleaved_sizes():
        if own == chunks:
            rows = schedule("interleaved", ranks, microbatches, chunks)
            assert_valid(rows, ranks * chunks, microbatches)


@pytest.mark.parametrize("name", FLAT)
@pytest.mark.parametrize(("forward", "backward"), COSTS)
def test_makespan_of_gpipe_and_1f1b(name, forward, backward):
    # (m + p - 1) (tF + tB): all micro-batches, and a bubble of p - 1.
    for ranks in RANKS:
        for microbatches in MICROBATCHES:
            expected = (microbatches + ranks - 1) * (forward + backward)
            rows = schedule(name, ranks, microbatches)
            assert makespan(rows, forward, backward) == expected


@pytest.mark.parametrize(("forward", "backward"), COSTS)
def test_makespan_of_interleaved(forward, backward):
    # m (tF + tB) and a bubble of (p - 1) / (v m) of it, tF and tB of a whole rank:
    # a chunk takes a v-th, and only chunks are waited for. v is a power of two here,
    # so that not a bit is lost.
    for ranks, microbatches, chunks in interleaved_sizes():
        if chunks == 3:
            continue
        ideal = microbatches * (forward + backward)
        bubble = (ranks - 1) / (chunks * microbatches)
        rows = schedule("interleaved", ranks, microbatches, chunks)
        actual = makespan(rows, forward / chunks, backward / chunks)
        assert actual == pytest.approx(ideal * (1 + bubble), rel=1e-12)


def test_interleaving_one_chunk_takes_as_long_as_1f1b():
    for ranks, microbatches, chunks in interleaved_sizes():
        if chunks == 1:
            flat = makespan(schedule("1f1b", ranks, microbatches), 1.0, 2.0)
            rows = schedule("interleaved", ranks, microbatches, 1)
            assert makespan(rows, 1.0, 2.0) == flat


@pytest.mark.parametrize("ranks", RANKS)
def test_microbatches_in_flight(ranks):
    for microbatches in MICROBATCHES:
        gpipe = schedule("gpipe", ranks, microbatches)
        assert [in_flight(row) for row in gpipe] == [microbatches] * ranks
        flat = schedule("1f1b", ranks, microbatches)
        expected = [min(microbatches, ranks - rank) for rank in range(ranks)]
        assert [in_flight(row) for row in flat] == expected


def test_chunks_in_flight_of_interleaved():
    # Warm-up forwards and the first of the steady phase: 2 (p - r - 1) + (v - 1) p + 1
    # (arXiv:2104.04473, section 2.2), or all there are; one round is all warm-up.
    for ranks, microbatches, chunks in interleaved_sizes():
        rows = schedule("interleaved", ranks, microbatches, chunks)
        total = microbatches * chunks
        for rank, row in enumerate(rows):
            warm_up = 2 * (ranks - rank - 1) + (chunks - 1) * ranks + 1
            is_one_round = microbatches == ranks
            assert in_flight(row) == (total if is_one_round else min(total, warm_up))


def test_nothing_is_in_flight_at_the_end():
    for rows in (schedule("1f1b", 4, 8), schedule("interleaved", 4, 8, 2)):
        for row in rows:
            kinds = [action.kind for action in row]
            assert kinds.count("F") == kinds.count("B")


def test_1f1b_on_paper():
    assert dump_schedule(schedule("1f1b", 2, 3)) == (
        "0F0,0F1,0B0,0F2,0B1,0B2\n1F0,1B0,1F1,1B1,1F2,1B2\n"
    )


def test_gpipe_on_paper():
    text = dump_schedule(schedule("gpipe", 2, 2))
    assert text == "0F0,0F1,0B0,0B1\n1F0,1F1,1B0,1B1\n"


def test_interleaved_on_paper():
    # arXiv:2104.04473, figure 4, with two ranks: two micro-batches of each chunk in
    # turn; rank 1 warms up with 2, rank 0 with 4 of its 8 forwards.
    assert dump_schedule(schedule("interleaved", 2, 4, 2)) == (
        "0F0,0F1,2F0,2F1,0F2,2B0,0F3,2B1,2F2,0B0,2F3,0B1,2B2,2B3,0B2,0B3\n"
        "1F0,1F1,3F0,3B0,3F1,3B1,1F2,1B0,1F3,1B1,3F2,3B2,3F3,3B3,1B2,1B3\n"
    )


def test_a_written_schedule_reads_back():
    rows = schedule("interleaved", 4, 8, 3)
    assert load_schedule(dump_schedule(rows)) == rows


def test_a_deadlock_is_shown_as_a_grid_with_arrows():
    # Rank 1 wants the gradient of micro-batch 1 first, rank 0 that of 0.
    rows = load_schedule("0F0,0B0,0F1,0B1\n1F0,1F1,1B1,1B0\n")
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
    ],
)
def test_check_refuses(text):
    with pytest.raises(ValueError, match="cannot run"):
        check(load_schedule(text))


def test_a_rank_that_is_done_has_no_arrow():
    rows = load_schedule("0F0\n1B0,1F0\n")
    with pytest.raises(ValueError, match="rank 0: 0F0\nrank 1: -> 1B0 1F0"):
        check(rows)


@pytest.mark.parametrize("text", ["", "F0", "0f0", "0F", "0W0", "-1F0", "0F0F"])
def test_what_is_no_action(text):
    with pytest.raises(ValueError, match="is no action; write such as '2F0'"):
        Action.parse(text)
