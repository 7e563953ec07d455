"""Traffic on emulated links: shaped rates, equal shares, and predicted contention.

Times are of a machine that does other things too, so tolerances are wide on the slow
side. Shaping makes the other side sharp: nothing is faster than its links, but for the
burst that leaves an idle one at once.
"""

from random import Random
from statistics import median

import pytest
from emulation_available import needs_emulation

from calibration.emulation.exchange import Flow, exchange
from calibration.emulation.network import EmulatedNetwork
from calibration.emulation.prediction import Constants, predict
from calibration.emulation.shape import Shape
from topologies.graphs import build
from topologies.graphs.wiring import Wiring

BANDWIDTH = 12.5e6  # 100 Mbit/s
LINK = {"bandwidth": BANDWIDTH, "latency": 0.0}
SHAPE = Shape()
CONSTANTS = Constants(SHAPE.payload_share, 0.0)
BURSTS = 1.1  # of 20 kB in 300 kB
BUSY = 2.0  # other work on the same two cores may double a time


def wiring_of(family, **parameters):
    return Wiring(network=build(family, **parameters, **LINK), spread="one")


@needs_emulation
@pytest.mark.parametrize("queueing", ["fair", "first-come"])
def test_one_flow_has_the_shaped_rate(queueing):
    size = 1_500_000
    with EmulatedNetwork(
        wiring_of("ring", hosts=2), Shape(queueing=queueing)
    ) as network:
        (time,) = exchange(network, [Flow(0, 1, size)])
    rate = size / time
    assert SHAPE.payload_share * BANDWIDTH / BUSY < rate
    assert rate < SHAPE.payload_share * BANDWIDTH * BURSTS


@needs_emulation
def test_two_flows_have_half_a_link_each():
    size = 1_000_000
    wiring = wiring_of("star", hosts=3)
    flows = [Flow(0, 2, size), Flow(1, 2, size)]
    with EmulatedNetwork(wiring) as network:
        first, second = exchange(network, flows)
    both = 2 * size / (SHAPE.payload_share * BANDWIDTH)
    # A flow that were served first would end in half the time of the other.
    assert 0.7 * second < first < second / 0.7
    assert both / BURSTS < max(first, second) < both * BUSY


@needs_emulation
def test_directions_of_a_cable_do_not_share():
    size = 1_000_000
    with EmulatedNetwork(wiring_of("ring", hosts=2)) as network:
        times = exchange(network, [Flow(0, 1, size), Flow(1, 0, size)])
    alone = size / (SHAPE.payload_share * BANDWIDTH)
    # If they shared it would be twice as long; acknowledgements are 1 %.
    assert max(times) < 1.6 * alone


@needs_emulation
def test_contention_is_as_predicted():
    wiring = wiring_of("ring", hosts=5)
    rng = Random(7)
    flows = [
        Flow(
            sender, (sender + 1 + rng.randrange(2)) % 5, rng.randrange(300_000, 900_000)
        )
        for sender in range(5)
    ]
    expected = predict(wiring, flows, CONSTANTS)
    with EmulatedNetwork(wiring) as network:
        actual = exchange(network, flows)
        carried = network.carried()
    ratios = [a / e for a, e in zip(actual, expected, strict=True)]
    assert 1 / BURSTS < median(ratios) < BUSY
    sizes = [flow.size for flow in flows]
    pairs = [flow[:2] for flow in flows]
    payload = wiring.routes(pairs).loads(sizes, wiring.network.num_links)
    assert all(carried >= payload)
    # Headers, and acknowledgements of the other direction: 66 of 9000 bytes.
    assert sum(carried) < 1.03 * sum(payload) + 20_000


@needs_emulation
def test_a_flow_over_more_links_is_as_fast_as_over_one():
    size = 1_000_000
    with EmulatedNetwork(wiring_of("ring", hosts=6)) as network:
        (one,) = exchange(network, [Flow(0, 1, size)])
        (three,) = exchange(network, [Flow(0, 3, size)])
    assert one / 1.5 < three < 1.5 * one


def test_predictions_share_links_and_add_the_latency():
    wiring = wiring_of("star", hosts=3)
    rate = 0.5 * BANDWIDTH
    flows = [Flow(0, 2, 1_000_000), Flow(1, 2, 3_000_000), Flow(2, 0, 1_000_000, 1.0)]
    actual = predict(wiring, flows, Constants(share=0.5, latency=0.01))
    expected = [0.01 + 2e6 / rate, 0.01 + 4e6 / rate, 0.01 + 1e6 / rate]
    assert expected == pytest.approx(actual, rel=1e-12)  # sums in another order
