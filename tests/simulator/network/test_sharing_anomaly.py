"""Max-min fairness is no optimum: with less in its way, a set of flows can end later.

Both examples are the smallest there are. All sets of flows with whole numbers were
tried, up to a size of 6 on 2 links and of 4 on 3, starts up to 3 and bandwidths up to
4: two flows on two links have no anomaly of either kind, nor has an earlier start with
two flows on three links.
"""

import pytest
import simpy

from simulator.network import FluidNetwork

EXACT = 1e-12


def last_end(flows, bandwidth):
    """When the last of some flows `(start, size, links)` ends."""
    clock = simpy.Environment()
    network = FluidNetwork(clock, bandwidth)

    def run(start, size, links):
        yield clock.timeout(start)
        yield network.start(links, [size] * len(links))

    for flow in flows:
        clock.process(run(*flow))
    clock.run()
    return clock.now


def test_a_faster_link_makes_two_flows_end_later():
    """Flow a, 1 byte over links 0 and 1; flow b, 2 bytes over 1 and 2; from 0 s.

    Links 1 and 2 carry 3 and 2 B/s. With link 0 at 1 B/s, a has 1 and leaves 2 of
    link 1 to b, as much as link 2 carries: both end at 1 s. With link 0 at 2 B/s, each
    has half of link 1, 1.5 B/s. a ends at 2/3 s, when b has moved 1 byte; its other
    byte takes 1/2 s, as link 2 carries no more than 2: b ends at 7/6 s.

    The narrow link kept a out of the way of b, which had more to move.
    """
    flows = [(0.0, 1.0, [0, 1]), (0.0, 2.0, [1, 2])]
    assert last_end(flows, [1.0, 3.0, 2.0]) == pytest.approx(1.0, rel=EXACT)
    assert last_end(flows, [2.0, 3.0, 2.0]) == pytest.approx(7 / 6, rel=EXACT)


def test_a_flow_that_is_ready_earlier_makes_three_flows_end_later():
    """Flow a over link 0, b over 1, c over both; 1 byte each, links of 1 B/s.

    c starts at 0 s and b at 1 s. If a starts at 1 s too, c has both links until it
    ends at 1 s, then a and b have one each: all is over at 2 s. If a starts at 0 s, it
    has half of link 0 and c the other half. At 1 s c has half a byte to go, now beside
    b as well. At 2 s a and c end; b has half a byte left, alone: 2.5 s.

    a came earlier and ended when it did before; what it took from c, c took from b.
    """
    others = [(1.0, 1.0, [1]), (0.0, 1.0, [0, 1])]
    late, early = (1.0, 1.0, [0]), (0.0, 1.0, [0])
    assert last_end([late, *others], [1.0, 1.0]) == pytest.approx(2.0, rel=EXACT)
    assert last_end([early, *others], [1.0, 1.0]) == pytest.approx(2.5, rel=EXACT)
