"""Messages end when a slow loop over messages says, whatever the graph."""

import math
from collections import defaultdict

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.collectives.rounds import Round
from simulator.network import FluidNetwork, Traffic
from simulator.network.clock import PrivateClock
from tests.simulator.network.test_fair_rates import slow_rates
from topologies.graphs import build
from topologies.graphs.wiring import Wiring

laws = settings(derandomize=True, deadline=None, max_examples=60, database=None)


def slow_time(router, rounds, latency, late, limit):  # noqa: C901 - one obvious loop
    """Time of the last arrival, and bytes on links, one message at a time."""
    steps = [
        list(zip(each.sender.tolist(), each.receiver.tolist(), each.size, strict=True))
        for each in rounds
        for _ in range(each.count)
    ]
    routes = {}
    for a, b in {(a, b) for step in steps for a, b, _ in step}:
        found = router.routes([(a, b)])
        links, parts = found.of(0)
        shares = dict(zip(links.tolist(), parts.tolist(), strict=True))
        routes[a, b] = shares, float(found.latency[0]) + latency
    waiting = [(k, *send) for k, step in enumerate(steps) for send in step]
    delayed, moving = [], []  # (time, send) and [bytes left, send]
    carried = defaultdict(float)
    now = 0.0
    while waiting or delayed or moving:
        busy = defaultdict(lambda: math.inf)  # first round not over, by participant
        for k, a, b, _ in (*waiting, *(s for _, s in delayed), *(s for _, s in moving)):
            busy[a], busy[b] = min(busy[a], k), min(busy[b], k)
        for send in list(waiting):
            k, a, b, _ = send
            starts = busy[a] == k == busy[b]
            if starts and max(late.get(a, 0), late.get(b, 0)) <= now:
                waiting.remove(send)
                delayed.append((now + routes[a, b][1], send))
        for entry in [each for each in delayed if each[0] <= now]:
            delayed.remove(entry)
            _, a, b, size = entry[1]
            # What has no way to go is there at once; the loop sees it next time.
            moving.append([size if routes[a, b][0] else 0.0, entry[1]])
        flows = [
            {**routes[a, b][0], len(router.bandwidth) + n: 1.0}
            for n, (_, (_, a, b, _)) in enumerate(moving)
        ]
        width = [*router.bandwidth, *[limit] * len(flows)]
        rates = slow_rates(flows, [1] * len(flows), width)
        events = [at for at, _ in delayed] + [t for t in late.values() if t > now]
        events += [now + m[0] / r for m, r in zip(moving, rates, strict=True)]
        if not events:
            continue
        after = min(events)
        for message, rate in zip(moving, rates, strict=True):
            message[0] -= rate * (after - now)
        for message in [each for each in moving if each[0] <= 1e-7]:
            moving.remove(message)
            _, a, b, size = message[1]
            for link, share in routes[a, b][0].items():
                carried[link] += share * size
        now = after
    return now, carried


@st.composite
def scenarios(draw):
    hosts = draw(st.integers(4, 7))
    network = build(
        "random",
        hosts=hosts,
        probability=0.5,
        seed=draw(st.integers(0, 5)),
        bandwidth=16.0,
        latency=draw(st.sampled_from([0.0, 0.25])),
    )
    slow = draw(st.dictionaries(st.integers(0, network.num_links - 1), st.just(0.25)))
    spread = draw(st.sampled_from(["one", "split"]))
    router = Wiring(network=network.degraded(slow), spread=spread)
    host = st.integers(0, hosts - 1)
    size = st.sampled_from([0.0, 8.0, 8.0, 32.0, 100.0])
    sends = st.lists(st.tuples(host, host, size), min_size=1, max_size=6)
    rounds = []
    for some in draw(st.lists(sends, min_size=1, max_size=4)):
        sender, receiver, sizes = (
            np.array(column) for column in zip(*some, strict=True)
        )
        rounds.append(Round(sender, receiver, sizes, draw(st.integers(1, 2))))
    late = draw(st.dictionaries(host, st.sampled_from([0.5, 3.0]), max_size=2))
    return router, rounds, draw(st.sampled_from([0.0, 0.5])), late


@given(scenarios(), st.sampled_from([3.0, 1000.0]))
@laws
def test_messages_end_when_the_slow_loop_says(scenario, limit):
    router, rounds, latency, late = scenario
    expected, carried = slow_time(router, rounds, latency, late, limit)
    job = Traffic.place(
        router,
        [range(router.num_endpoints)],
        rounds,
        latency=latency,
        flow_limit=limit,
        delays=late,
    )
    clock = simpy.Environment()
    network = FluidNetwork(clock, router.bandwidth)
    done = job.run(network, expanded=True)
    clock.run(done)
    taking_part = {*np.concatenate([[*r.sender, *r.receiver] for r in rounds])}
    if set(late) <= taking_part:
        assert clock.now == pytest.approx(expected, rel=1e-6)
    assert job.isolated_time() == pytest.approx(clock.now, rel=1e-9)
    on_links = [carried[link] for link in range(len(router.bandwidth))]
    assert network.carried() == pytest.approx(on_links, rel=1e-9)


@given(scenarios())
@laws
def test_the_same_messages_end_at_the_same_time_to_the_bit_on_any_clock(scenario):
    router, rounds, latency, late = scenario
    group = range(router.num_endpoints)
    job = Traffic.place(router, [group], rounds, latency=latency, delays=late)
    times = []
    for clock in (simpy.Environment(), PrivateClock()):
        job.run(FluidNetwork(clock, router.bandwidth), expanded=True)
        clock.run()
        times.append(clock.now)
    assert times[0] == times[1]


def test_thousands_of_empty_rounds_do_not_nest():
    router = Wiring(network=build("star", hosts=2, bandwidth=1.0, latency=0.0))
    rounds = [Round(np.array([0]), np.array([1]), np.zeros(1), 5000)]
    job = Traffic.place(router, [range(2)], rounds, latency=0.0)
    clock = PrivateClock()
    job.run(FluidNetwork(clock, router.bandwidth), expanded=True)
    clock.run()
    assert clock.now == 0.0
