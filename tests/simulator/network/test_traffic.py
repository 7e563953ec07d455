"""Collectives on networks: both forms agree, with the closed form, byte for byte."""

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.collectives.options import Options
from simulator.collectives.rounds import Round
from simulator.collectives.table import TABLE
from simulator.costs.all_reduces import two_tree_pieces
from simulator.network import FluidNetwork, Traffic, traffic
from topologies.graphs import GraphError, build
from topologies.graphs.wiring import Wiring, usual_paths

ROUNDING = 1e-9
EXACT = 1e-12
laws = settings(derandomize=True, deadline=None, max_examples=6, database=None)
each_row = pytest.mark.parametrize("key", list(TABLE), ids=" ".join)
SIZES = st.floats(1.0, 1e9)
LATENCIES = st.floats(0.0, 1e-3)
FAMILIES = ("ring", "wheel", "random", "star", "full", "torus", "fat-tree")


def wired(family, hosts, latency=0.0, spread="split"):
    """A network of a family with at least so many hosts."""
    sizes = {"hosts": hosts}
    if family == "wheel":
        sizes = {"hosts": max(hosts, 4)}
    if family == "random":
        sizes = {"hosts": max(hosts, 4), "probability": 0.4, "seed": hosts}
    if family == "torus":
        sizes = {"shape": [max(2, -(-hosts // 4)), 4]}
    if family == "fat-tree":
        sizes = {"k": 4 if hosts <= 16 else 6}
    network = build(family, bandwidth=1e9, latency=latency, **sizes)
    return Wiring(network=network, spread=spread)


def simulated(jobs, bandwidth, **options):
    """Time and network after some traffic that begins together."""
    clock = simpy.Environment()
    network = FluidNetwork(clock, bandwidth)
    events = [each.run(network, **options) for each in jobs]
    clock.run(clock.all_of(events))
    return clock.now, network


def rows_rounds(key, ranks, size):
    """Participants and rounds of a row of the table, of a number it allows."""
    row = TABLE[key]
    per_node = 2 if ranks % 2 == 0 else 1
    options = Options(per_node=per_node)
    while row.allows(ranks, options):
        ranks += 1
        options = Options(per_node=2 if ranks % 2 == 0 else 1)
    number = row.num_participants(ranks, options)
    return ranks, number, row.rounds(ranks, size, options), options


def ring(ranks, size):
    rank = np.arange(ranks)
    count = 2 * (ranks - 1)
    return [Round(rank, (rank + 1) % ranks, np.full(ranks, size / ranks), count)]


@each_row
@given(st.integers(2, 32), SIZES, LATENCIES)
@laws
def test_both_forms_equal_the_closed_form_on_a_crossbar(key, ranks, size, latency):
    ranks, number, rounds, options = rows_rounds(key, ranks, size)
    crossbar = wired("star", number)
    job = Traffic.place(crossbar, [range(number)], rounds, latency=latency)
    expected = TABLE[key].time(size, ranks, latency, 1e9, options)
    times = [
        simulated([job], crossbar.bandwidth)[0],
        simulated([job], crossbar.bandwidth, expanded=True)[0],
        job.isolated_time(),
    ]
    assert times == pytest.approx([times[0]] * 3, rel=ROUNDING, abs=0)
    assert times[0] == pytest.approx(expected, rel=ROUNDING, abs=0)


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_two_trees_take_what_the_closed_form_says_however_few_their_pieces(pieces):
    row = TABLE["all-reduce", "double-binary-tree"]
    for ranks in range(4, 65):
        grains = 1e6 * 1.1 ** np.arange(-40, 80)
        counts = two_tree_pieces(1e6, ranks, grains)
        options = Options(grain=grains[list(counts).index(pieces)])
        crossbar = wired("star", ranks)
        rounds = row.rounds(ranks, 1e6, options)
        job = Traffic.place(crossbar, [range(ranks)], rounds, latency=1e-6)
        time, _ = simulated([job], crossbar.bandwidth, expanded=True)
        expected = row.time(1e6, ranks, 1e-6, 1e9, options)
        assert time == pytest.approx(expected, rel=ROUNDING, abs=0)


@each_row
@given(
    st.sampled_from(FAMILIES),
    st.tuples(st.integers(2, 32), SIZES),
    st.tuples(LATENCIES, st.sampled_from(["split", "one", "hashed"])),
    st.randoms(use_true_random=False),
)
@laws
def test_forms_agree_and_carry_the_same_bytes_on_idle_networks(
    key, family, amount, route, random
):
    (ranks, size), (latency, spread) = amount, route
    # Where the fluid form is not exact the messages are simulated, so this is equality
    # and not the 1 % that would be enough.
    if "grain" in TABLE[key].options:
        size = min(size, 1e6)  # or it is cut into hundreds of pieces
    ranks, number, rounds, _ = rows_rounds(key, ranks, size)
    router = wired(family, max(number, 2), latency=latency / 8, spread=spread)
    group = list(range(router.num_endpoints))
    random.shuffle(group)
    try:
        job = Traffic.place(router, [group[:number]], rounds, latency=latency)
    except GraphError:
        assert TABLE[key].is_in_switch
        assert family != "star"
        return
    time, network = simulated([job], router.bandwidth)
    other, messages = simulated([job], router.bandwidth, expanded=True)
    assert time == pytest.approx(other, rel=ROUNDING, abs=0)
    assert job.isolated_time() == pytest.approx(time, rel=ROUNDING, abs=0)
    expected = job.bytes_on_links()
    for each in (network, messages):
        assert each.carried() == pytest.approx(expected, rel=EXACT, abs=0)


@each_row
@given(st.sampled_from(FAMILIES), st.integers(2, 16), SIZES)
@laws
def test_bytes_on_links_are_the_sends_along_their_routes(key, family, ranks, size):
    if TABLE[key].is_in_switch:
        return
    ranks, number, rounds, _ = rows_rounds(key, ranks, size)
    router = wired(family, max(number, 2))
    job = Traffic.place(router, [range(number)], rounds, latency=0.0)
    expected = np.zeros(len(router.bandwidth))
    for each in rounds:
        routes = router.routes(np.stack([each.sender, each.receiver], 1))
        for pair, amount in enumerate(each.size * each.count):
            links, fractions = routes.of(pair)
            expected[links] += amount * fractions
    assert job.bytes_on_links() == pytest.approx(expected, rel=EXACT, abs=0)


def test_rates_double_and_latencies_halve_and_the_time_halves():
    slow = build("random", hosts=9, probability=0.3, bandwidth=1e9, latency=1e-6)
    fast = build("random", hosts=9, probability=0.3, bandwidth=2e9, latency=5e-7)
    times = []
    for network, latency in ((slow, 1e-5), (fast, 5e-6)):
        router = Wiring(network=network)
        job = Traffic.place(router, [range(9)], ring(9, 1e6), latency=latency)
        times.append(job.isolated_time())
    assert times[0] == pytest.approx(2 * times[1], rel=EXACT, abs=0)


def test_groups_run_together_and_share_links():
    crossbar = wired("star", 8)
    rounds = ring(4, 1e6)
    apart = Traffic.place(crossbar, [range(4), range(4, 8)], rounds, latency=1e-6)
    one = Traffic.place(crossbar, [range(4)], rounds, latency=1e-6)
    assert apart.form == "fluid"
    assert apart.isolated_time() == pytest.approx(one.isolated_time(), rel=EXACT, abs=0)
    both = Traffic.place(crossbar, [range(4), range(4)], rounds, latency=0.0)
    alone = Traffic.place(crossbar, [range(4)], rounds, latency=0.0)
    assert both.isolated_time() == pytest.approx(
        2 * alone.isolated_time(), rel=EXACT, abs=0
    )


def test_traffic_that_contends_slows_both_and_bytes_stay():
    crossbar = wired("star", 6)
    job = Traffic.place(crossbar, [range(6)], ring(6, 1e6), latency=0.0)
    together, network = simulated([job, job], crossbar.bandwidth)
    assert together == pytest.approx(2 * job.isolated_time(), rel=EXACT, abs=0)
    assert network.carried() == pytest.approx(
        2 * job.bytes_on_links(), rel=EXACT, abs=0
    )
    expanded, _ = simulated([job, job], crossbar.bandwidth, expanded=True)
    assert expanded == pytest.approx(together, rel=EXACT, abs=0)


@pytest.mark.parametrize("expanded", [False, True])
def test_a_limit_of_each_flow_is_kept(expanded):
    crossbar = wired("star", 4)
    job = Traffic.place(crossbar, [range(4)], ring(4, 4e6), latency=0.0, flow_limit=5e8)
    time, _ = simulated([job], crossbar.bandwidth, expanded=expanded)
    assert time == pytest.approx(6 * 1e6 / 5e8, rel=EXACT, abs=0)
    # Half of the links is enough for two of them.
    both, _ = simulated([job, job], crossbar.bandwidth, expanded=expanded)
    assert both == pytest.approx(time, rel=EXACT, abs=0)


@pytest.mark.parametrize("expanded", [False, True])
def test_start_delays_and_what_has_no_bytes(expanded):
    crossbar = wired("star", 4)
    rank = np.arange(4)
    rounds = [Round(rank, (rank + 1) % 4, np.zeros(4), 3)]
    barrier = Traffic.place(crossbar, [range(4)], rounds, latency=0.25, start=1.0)
    assert simulated([barrier], crossbar.bandwidth, expanded=expanded)[0] == 1.75
    assert barrier.isolated_time() == 1.75
    assert not barrier.bytes_on_links().any()
    nothing = Traffic.place(crossbar, [range(4)], [], latency=0.25, start=1.0)
    assert simulated([nothing], crossbar.bandwidth, expanded=expanded)[0] == 1.0
    assert nothing.isolated_time() == 1.0


def test_a_participant_that_begins_late_holds_up_the_others():
    crossbar = wired("star", 8)
    on_time = Traffic.place(crossbar, [range(8)], ring(8, 8e6), latency=0.0)
    late = Traffic.place(
        crossbar, [range(8)], ring(8, 8e6), latency=0.0, delays={3: 0.01}
    )
    assert not late.is_even
    expected = on_time.isolated_time() + 0.01
    assert late.isolated_time() == pytest.approx(expected, rel=ROUNDING, abs=0)


def test_a_send_to_itself_takes_only_its_latency():
    crossbar = wired("star", 2)
    rounds = [Round(np.array([0]), np.array([0]), np.array([1e9]), 4)]
    job = Traffic.place(crossbar, [range(2)], rounds, latency=0.5)
    assert job.isolated_time() == 2.0
    assert simulated([job], crossbar.bandwidth, expanded=True)[0] == 2.0


@pytest.mark.parametrize("family", FAMILIES)
def test_rounds_with_a_barrier_are_near_the_messages(family, monkeypatch):
    row = TABLE["all-to-all", "pairwise"]
    router = wired(family, 12, latency=1e-6)
    rounds = row.rounds(12, 1e7)
    job = Traffic.place(router, [range(12)], rounds, latency=0.0)
    expected, network = simulated([job], router.bandwidth, expanded=True)
    monkeypatch.setattr(traffic, "MAX_MESSAGES", 10)
    in_rounds = Traffic.place(router, [range(12)], rounds, latency=0.0)
    assert in_rounds.form in ("rounds", "fluid")
    time, carried = simulated([in_rounds], router.bandwidth)
    assert in_rounds.isolated_time() == pytest.approx(time, rel=ROUNDING, abs=0)
    assert carried.carried() == pytest.approx(network.carried(), rel=EXACT, abs=0)
    if in_rounds.is_exact:
        assert time == pytest.approx(expected, rel=ROUNDING, abs=0)
    # Equal on six of the families, and 1.4 % more on the random graph, where some ranks
    # could have run ahead. A barrier seldom lets a message gain, by getting others out
    # of its way.
    assert 0.999 * expected <= time <= 1.02 * expected


@pytest.mark.parametrize("family", ["star", "torus"])
def test_rounds_placed_one_by_one_are_those_placed_together(family, monkeypatch):
    router = wired(family, 8, latency=1e-6)
    rounds = TABLE["all-to-all", "pairwise"].rounds(8, 1e6)
    together = Traffic.place(router, [range(8)], rounds, latency=0.0)
    monkeypatch.setattr("simulator.network.placing.MAX_KEPT", 0)
    apart = Traffic.place(router, [range(8)], rounds, latency=0.0)
    assert apart.form == together.form
    assert apart.isolated_time() == together.isolated_time()
    assert np.array_equal(apart.bytes_on_links(), together.bytes_on_links())
    assert apart.rounds[0].count == 1


def test_one_round_with_a_slow_link_is_exact_beyond_the_budget(monkeypatch):
    network = build("ring", hosts=8, bandwidth=1e9, latency=1e-6)
    router = Wiring(network=network.degraded({4: 0.5}))
    job = Traffic.place(router, [range(8)], ring(8, 1e7), latency=0.0)
    assert job.form == "expanded"
    expected = job.isolated_time()
    monkeypatch.setattr(traffic, "MAX_PACED", 10)
    again = Traffic.place(router, [range(8)], ring(8, 1e7), latency=0.0)
    assert (again.form, again.is_exact) == ("rounds", True)
    assert again.isolated_time() == pytest.approx(expected, rel=ROUNDING, abs=0)


@given(
    st.sampled_from(["ring", "bidirectional-ring"]),
    st.sampled_from(["ring", "wheel", "random", "torus"]),
    st.sampled_from(["split", "one", "hashed"]),
    st.integers(8, 16),
    st.randoms(use_true_random=False),
)
@settings(derandomize=True, deadline=None, max_examples=25, database=None)
def test_a_ring_in_any_order_keeps_the_pace_of_its_slowest_message(
    name, family, spread, hosts, random
):
    # Messages share links and rates differ, but none is ever slower than the slowest
    # of all moving at once (`paced_phase` says why): one job is exact.
    network = wired(family, hosts).network
    slow = {random.randrange(network.num_links): random.uniform(0.2, 1.0)}
    router = Wiring(network=network.degraded(slow), spread=spread)
    order = random.sample(range(router.num_endpoints), hosts)
    rounds = TABLE["all-reduce", name].rounds(hosts, 10 ** random.uniform(3, 9))
    job = Traffic.place(router, [order], rounds, latency=2e-5)
    expected, _ = simulated([job], router.bandwidth, expanded=True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(traffic, "MAX_PACED", 0)
        assert job.form in ("rounds", "fluid")
        assert job.is_exact
        assert job.isolated_time() == pytest.approx(expected, rel=ROUNDING, abs=0)


def test_a_switch_that_adds_carries_each_link_of_a_tree_once():
    row = TABLE["all-reduce", "in-network"]
    tree = build(
        "leaf-spine",
        leaves=3,
        hosts_per_leaf=4,
        spines=1,
        bandwidth=1e9,
        latency=1e-6,
    )
    router = Wiring(network=tree, paths=usual_paths(tree))
    job = Traffic.place(router, [range(12)], row.rounds(12, 1e6), latency=0.0)
    assert job.bytes_on_links() == pytest.approx(np.full(tree.num_links, 1e6))
    expanded, network = simulated([job], router.bandwidth, expanded=True)
    assert expanded == pytest.approx(job.isolated_time(), rel=ROUNDING, abs=0)
    assert network.carried() == pytest.approx(job.bytes_on_links(), rel=EXACT, abs=0)


@pytest.mark.parametrize("family", ["ring", "wheel", "full", "fat-tree"])
def test_without_a_tree_of_switches_nothing_adds(family):
    rounds = TABLE["all-reduce", "in-network"].rounds(8, 1e6)
    with pytest.raises(GraphError, match="switches in a tree"):
        Traffic.place(wired(family, 8), [range(8)], rounds, latency=0.0)


@pytest.mark.parametrize(
    ("groups", "message"),
    [([range(2), range(3)], "of one size"), ([[0, 9]], "beyond 0 … 3")],
)
def test_groups_that_do_not_fit_are_refused(groups, message):
    with pytest.raises(GraphError, match=message):
        Traffic.place(wired("star", 4), groups, ring(2, 1.0), latency=0.0)
