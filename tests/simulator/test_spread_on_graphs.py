"""Exchanges of tokens, keys and values on the links of a network, counted by hand."""

import pytest

from simulator.api import simulate
from simulator.job import prepare
from tests.laws.spread_plans import EXPERTS, spread

NODES = 8


def on_a_ring(**choices):
    """A plan on eight nodes in a ring, one device each."""
    plan = spread(per_node=1, layers=1, microbatches=1, **choices)
    return plan.replace({"cluster.network.topology": "ring"})


def carried(plan, pattern):
    """Bytes on every link of the first message of a pattern, and its size."""
    located = prepare(plan).located
    for body, traffic in located.traffic.items():
        (message,) = body.items
        if message.pattern == pattern:
            return traffic.bytes_on_links(), message.size
    raise AssertionError(pattern)


def test_an_all_to_all_crosses_as_many_links_as_its_ranks_are_apart():
    """From each of 8 nodes S / 8 goes 1, 1, 2, 2, 3, 3 and 4 links far: 16 S in all.

    Over 16 directed links that is S each, where ways of the same length are shared.
    """
    on_links, size = carried(
        on_a_ring(data=NODES, expert=NODES, experts=EXPERTS), "all-to-all"
    )
    assert on_links.sum() == pytest.approx(16 * size)
    assert on_links.max() <= 1.5 * size


def test_keys_and_values_go_one_link_far():
    """Around the ring every device sends S to the next: S on one link each."""
    on_links, size = carried(on_a_ring(context=NODES), "neighbour-exchange")
    assert on_links.sum() == NODES * size
    assert sorted(set(on_links.tolist())) in ([0.0, size], [size])


def test_of_two_devices_each_sends_to_the_other():
    on_links, size = carried(on_a_ring(context=2, data=4), "neighbour-exchange")
    assert on_links.sum() == NODES * size


def test_an_all_to_all_takes_as_long_as_its_busiest_link():
    """On a switch a device sends 7 / 8 of S over its link; here a link has S or more.

    Beside 5 ms of bytes the latencies, which differ, are some 20 us.
    """
    large = {"hidden": 4096, "length": 8192, "experts": EXPERTS}
    job = prepare(on_a_ring(data=NODES, expert=NODES, **large))
    body, traffic = next(
        (body, traffic)
        for body, traffic in job.located.traffic.items()
        if body.items[0].pattern == "all-to-all"
    )
    (message,) = body.items
    expected = traffic.bytes_on_links().max() / (7 / 8 * message.size)
    times = traffic.isolated_time(), job.pricer.message_time(message)
    assert times[0] / times[1] == pytest.approx(expected, rel=0.01)


def test_devices_of_a_ring_of_nodes_exchange_keys_as_on_a_switch():
    plan = on_a_ring(context=NODES, hidden=512, length=4096)
    switch = plan.replace({"cluster.network.topology": "switch"})
    times = [simulate(each, engine="event").step_time_s for each in (plan, switch)]
    assert times[0] == pytest.approx(times[1], rel=1e-3)
