"""The closed form of every row is what its rounds add up to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.collectives import TABLE, Options
from simulator.costs.collectives import num_doublings, num_hops

laws = settings(derandomize=True, deadline=None, max_examples=60, database=None)
rows = pytest.mark.parametrize(
    "row", TABLE.values(), ids=lambda r: f"{r.pattern}-{r.name}"
)

AT_ONCE = {"direct", "central", "sharded", "parameter-server", "sharded-servers"}
ranks = st.integers(1, 32)
sizes = st.one_of(st.just(0.0), st.floats(1.0, 1e9))


@st.composite
def options_for(draw, num_ranks):
    """Options that suit a number of ranks."""
    divisors = [d for d in range(1, num_ranks + 1) if num_ranks % d == 0]
    rank = st.integers(0, num_ranks - 1)
    pair = st.tuples(rank, rank).filter(lambda pair: pair[0] != pair[1])
    order = st.permutations(range(num_ranks)).map(tuple)
    orders = draw(st.lists(order, max_size=3).map(tuple))
    pairs = draw(st.lists(pair, max_size=9).map(tuple)) if num_ranks > 1 else ()
    return Options(
        root=draw(rank),
        per_node=draw(st.sampled_from(divisors)),
        columns=draw(st.sampled_from([None, *divisors])),
        num_rings=draw(st.integers(1, 5)),
        orders=orders,
        grain=draw(st.floats(1e3, 1e9)),
        num_servers=draw(st.one_of(st.none(), st.integers(1, num_ranks))),
        is_colocated=draw(st.booleans()),
        pairs=pairs,
    )


@st.composite
def cases(draw):
    num_ranks = draw(ranks)
    return num_ranks, draw(sizes), draw(options_for(num_ranks))


def busiest(part, num_participants):
    """Bytes of the busiest port of a round; the switch has no port."""
    out = np.bincount(part.sender, part.size, num_participants)
    into = np.bincount(part.receiver, part.size, num_participants)
    return max(out[:num_participants].max(), into[:num_participants].max())


@rows
@given(case=cases())
@laws
def test_the_closed_form_is_the_sum_of_the_rounds(row, case):
    num_ranks, size, options = case
    if row.allows(num_ranks, options):
        return
    rounds = row.rounds(num_ranks, size, options)
    participants = row.num_participants(num_ranks, options)
    steps = sum(part.count for part in rounds)
    wire = sum(part.count * part.size.sum() for part in rounds)
    port = sum(part.count * busiest(part, participants) for part in rounds)
    assert steps == row.steps(num_ranks, size, options)
    assert row.wire_bytes(size, num_ranks, options) == pytest.approx(wire, rel=1e-12)
    for latency, bandwidth in ((0.0, 3.0), (5e-6, 1e9), (1.0, 1e12)):
        expected = steps * latency + port / bandwidth
        time = row.time(size, num_ranks, latency, bandwidth, options)
        assert time == pytest.approx(expected, rel=1e-9)


@rows
def test_every_number_of_ranks_up_to_130_by_default(row):
    for num_ranks in range(1, 131):
        if not row.allows(num_ranks):
            rounds = row.rounds(num_ranks, 1e7)
            cost = row.cost(1e7, num_ranks)
            participants = row.num_participants(num_ranks)
            port = sum(part.count * busiest(part, participants) for part in rounds)
            assert sum(part.count for part in rounds) == cost.steps
            assert cost.port_bytes == pytest.approx(port, rel=1e-9)


@rows
@given(case=cases())
@laws
def test_participants_are_numbered_and_send_to_others(row, case):
    num_ranks, size, options = case
    if row.allows(num_ranks, options):
        return
    last = row.num_participants(num_ranks, options) - 1 + row.is_in_switch
    for part in row.rounds(num_ranks, size, options):
        assert len(part.sender) == len(part.receiver) == len(part.size) > 0
        assert part.count >= 1
        assert (part.sender != part.receiver).all()
        assert min(part.sender.min(), part.receiver.min()) >= 0
        assert max(part.sender.max(), part.receiver.max()) <= last


def least_bytes(pattern, size, num_ranks):
    """Bytes that some port has to carry, whatever the algorithm."""
    shares = {
        "all-reduce": 2 * (num_ranks - 1) / num_ranks,
        "broadcast": 1.0,
        "reduce": 1.0,
        "push": 1.0,
        "pull": 1.0,
        "neighbour-exchange": 1.0,
        "barrier": 0.0,
    }
    return shares.get(pattern, (num_ranks - 1) / num_ranks) * size


@rows
@given(num_ranks=st.integers(2, 32), size=sizes)
@laws
def test_no_algorithm_beats_the_bounds(row, num_ranks, size):
    if row.allows(num_ranks):
        return
    cost = row.cost(size, num_ranks)
    # The switch adds, so that a rank sends and receives the buffer only once.
    least = size if row.is_in_switch else least_bytes(row.pattern, size, num_ranks)
    assert cost.port_bytes >= least * (1 - 1e-12)
    # In a round anyone hears of as many as send to it at once, which may be all.
    is_at_once = row.is_in_switch or row.name in AT_ONCE
    assert cost.steps >= (1 if is_at_once else num_doublings(num_ranks))


@rows
def test_arrays_cost_what_their_entries_do(row):
    num_ranks = np.array([1, 2, 4, 8, 16, 64])
    options = Options(columns=1, num_servers=1)
    together = row.time(1e6, num_ranks, 1e-6, 1e9, options)
    apart = [row.time(1e6, int(n), 1e-6, 1e9, options) for n in num_ranks]
    assert apart == pytest.approx(np.broadcast_to(together, 6), rel=1e-12)


def test_hops_are_set_bits():
    for num_ranks in range(1, 200):
        assert sum(i.bit_count() for i in range(num_ranks)) == num_hops(num_ranks)


@pytest.mark.parametrize("num_ranks", [8, 12, 15, 16])
@pytest.mark.parametrize(
    "key", [key for key, row in TABLE.items() if "grain" in row.options], ids=" ".join
)
def test_pieces_are_best_where_the_grain_is_latency_times_bandwidth(key, num_ranks):
    row = TABLE[key]
    latency, bandwidth, size = 2e-6, 1e10, 1e8
    grains = latency * bandwidth * 1.1 ** np.arange(-20, 21)
    times = [
        row.time(size, num_ranks, latency, bandwidth, Options(grain=grain))
        for grain in grains
    ]
    assert abs(int(np.argmin(times)) - 20) <= 1


@given(st.integers(2, 4096))
@laws
def test_two_trees_take_a_round_for_each_doubling_and_back(num_ranks):
    row = TABLE["all-reduce", "double-binary-tree"]
    rounds = 2 * num_doublings(num_ranks)
    assert rounds - 2 <= row.steps(num_ranks) <= rounds
    # And of a large buffer every byte passes each port twice.
    port = row.cost(1e15, num_ranks, Options(grain=1.0)).port_bytes
    assert port == pytest.approx(2e15 if num_ranks > 2 else 1e15, rel=1e-5)


def test_a_ring_is_one_record_for_each_pass():
    rounds = TABLE["all-reduce", "ring"].rounds(16_384, 1e9)
    assert [part.count for part in rounds] == [16_383, 16_383]
    assert sum(len(part.sender) for part in rounds) <= 4 * 16_384
