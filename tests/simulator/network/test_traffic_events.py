"""How many events a collective takes: constant in step, more where symmetry ends."""

import numpy as np
import pytest
import simpy

from simulator.collectives.rounds import Round
from simulator.network import FluidNetwork, Traffic
from topologies.graphs import build
from topologies.graphs.wiring import Wiring, usual_paths

# Powers of two: no rounding, and so the same instants everywhere.
WIDTH, LATENCY, SIZE = 2.0**35, 2.0**-22, 2.0**30
LINK = {"bandwidth": WIDTH, "latency": LATENCY}
MACRO = 4  # latency, and the end of transfer, of the job, of the traffic


class Counting(simpy.Environment):
    """A clock that counts what happens."""

    def __init__(self):
        super().__init__()
        self.events = 0

    def step(self):
        super().step()
        self.events += 1


def ring(ranks, order=None):
    rank = np.arange(ranks) if order is None else np.array(order)
    count = 2 * (ranks - 1)
    sizes = np.full(ranks, SIZE / ranks)
    return [Round(rank, np.roll(rank, -1), sizes, count)]


def place(router, ranks, rounds=None, **options):
    rounds = rounds or ring(ranks)
    return Traffic.place(router, [range(ranks)], rounds, latency=0.0, **options)


def events_of(router, jobs, **options):
    """Events of the clock, and the time."""
    clock = Counting()
    network = FluidNetwork(clock, router.bandwidth)
    for job in jobs:
        job.run(network, **options)
    clock.run()
    return clock.events, clock.now


def wired(family, **parameters):
    network = build(family, **parameters, **LINK)
    return Wiring(network=network, paths=usual_paths(network))


def tree(ranks):
    """A three-level fat-tree of at least so many hosts."""
    return wired(
        "clos",
        pods=4,
        leaves_per_pod=4,
        hosts_per_leaf=max(4, ranks // 16),
        spines_per_pod=4,
        cores_per_spine=4,
    )


@pytest.mark.parametrize("ranks", [64, 1024, 16_384])
def test_a_ring_in_step_takes_as_many_events_whatever_its_ranks(ranks):
    routers = [wired("ring", hosts=ranks), wired("star", hosts=ranks), tree(ranks)]
    for router, hops in zip(routers, (1, 2, 6), strict=True):
        job = place(router, ranks)
        events, time = events_of(router, [job])
        assert (job.form, events) == ("fluid", MACRO)
        # The longest route sets the pace: over all tiers of the tree.
        rounds = 2 * (ranks - 1)
        expected = rounds * (hops * LATENCY + SIZE / ranks / WIDTH)
        assert time == pytest.approx(expected, rel=1e-9)


def test_message_by_message_takes_events_for_each_round():
    for ranks in (8, 64):
        router = wired("ring", hosts=ranks)
        events, _ = events_of(router, [place(router, ranks)], expanded=True)
        # Latency, start, end and the solution after it in each of the rounds; and
        # then all is done.
        assert events == 4 * 2 * (ranks - 1) + 1


def test_a_slow_link_takes_more_events_until_its_pace_is_that_of_all():
    router = wired("ring", hosts=16)
    network = router.network.degraded({10: 0.5})
    slow = Wiring(network=network)
    job = place(slow, 16)
    events, time = events_of(slow, [job])
    assert (job.form, events) == ("expanded", 1120)  # 121 in step
    expected = 2 * events_of(router, [place(router, 16)])[1] - 30 * LATENCY
    assert time == pytest.approx(expected, rel=1e-9)


def test_a_straggler_takes_more_events():
    router = wired("ring", hosts=16)
    on_time, late = place(router, 16), place(router, 16, delays={5: 2.0**-10})
    events, time = events_of(router, [late])
    assert (late.form, events) == ("expanded", 163)  # 121 in step
    assert time == pytest.approx(2.0**-10 + on_time.isolated_time(), rel=1e-9)


def test_two_rings_on_one_link_take_the_events_of_both():
    # Both rings of four hosts pass from one switch to the other over one cable.
    router = wired("leaf-spine", leaves=2, hosts_per_leaf=4, spines=1)
    narrow = router.network.degraded({16: 0.25, 17: 0.25, 18: 0.25, 19: 0.25})
    router = Wiring(network=narrow, paths="up-down")
    jobs = [
        Traffic.place(router, [group], ring(4), latency=0.0)
        for group in ([0, 1, 4, 5], [2, 3, 6, 7])
    ]
    alone = [job.isolated_time() for job in jobs]
    events, time = events_of(router, jobs)
    # Of both the latency, the end of transfer, of the job, of the traffic; the timer
    # of the first, which was alone until the second came; and the solution of rates.
    assert events == 10
    assert time > 1.9 * max(alone)
    together = Traffic.place(router, [[0, 1, 4, 5], [2, 3, 6, 7]], ring(4), latency=0.0)
    assert together.isolated_time() == pytest.approx(time, rel=1e-2)


def test_two_rings_of_different_length_share_until_the_shorter_ends():
    router = wired("ring", hosts=8)
    short = [each._replace(size=each.size / 4) for each in ring(8)]
    jobs = [place(router, 8), place(router, 8, short)]
    events, time = events_of(router, jobs)
    assert [job.form for job in jobs] == ["fluid", "fluid"]
    assert events == 12  # and the longer is solved again when the shorter is over
    assert time == pytest.approx(1.25 * 14 * SIZE / 8 / WIDTH + 14 * LATENCY, rel=1e-9)
