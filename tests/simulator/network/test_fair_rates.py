"""Rates are max-min fair: by the conditions, and by a slow obvious filling."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.network.fair import Flows, fair_rates, fill
from simulator.network.fluid import connected
from topologies.graphs import build, routes

EXACT = 1e-12
laws = settings(derandomize=True, deadline=None, max_examples=300, database=None)


def flows_of(shares, weights):
    """Flows from one `{link: share}` each."""
    start = np.cumsum([0, *map(len, shares)])
    link = np.array([link for each in shares for link in each], np.int64)
    share = np.array([part for each in shares for part in each.values()], float)
    return Flows(start, link, share, np.array(weights, float))


def slow_rates(shares, weights, bandwidth):
    """Fill all flows alike in exact arithmetic until nothing can grow."""
    left = [Fraction(width) for width in bandwidth]
    rates = [None if each else np.inf for each in shares]
    while None in rates:
        growing = [flow for flow, rate in enumerate(rates) if rate is None]
        slope = [Fraction(0)] * len(left)
        for flow in growing:
            for link, share in shares[flow].items():
                slope[link] += Fraction(share) * Fraction(weights[flow])
        levels = [a / b if b else None for a, b in zip(left, slope, strict=True)]
        lowest = min(level for level in levels if level is not None)
        for flow in growing:
            if any(levels[link] == lowest for link in shares[flow]):
                rates[flow] = lowest * Fraction(weights[flow])
                for link, share in shares[flow].items():
                    left[link] -= rates[flow] * Fraction(share)
    return [float(rate) for rate in rates]


widths = st.lists(st.sampled_from([1.0, 1.5, 4.0, 10.0, 100.0]), min_size=1, max_size=7)
# Multiples of the least, whose sums are exact, and others.
amounts = st.sampled_from([0.125, 0.25, 0.5, 1.0, 1.0, 1.0, 1 / 3, 0.7])
heavy = st.sampled_from([0.5, 1.0, 1.0, 1.0, 2.0, 3.0, 64.0, 0.1])


@st.composite
def scenarios(draw):
    bandwidth = draw(widths)
    link = st.integers(0, len(bandwidth) - 1)
    shares = draw(st.lists(st.dictionaries(link, amounts), min_size=1, max_size=12))
    weights = [draw(heavy) for _ in shares]
    return shares, weights, np.array(bandwidth)


def load(flows, rates, num_links):
    each = np.repeat(rates, np.diff(flows.start))
    return np.bincount(flows.link, each * flows.share, num_links)


def check_max_min(flows, rates, bandwidth):
    carried = load(flows, rates, len(bandwidth))
    assert np.all(carried <= bandwidth * (1 + EXACT))
    per_weight = rates / flows.weight
    own = np.repeat(per_weight, np.diff(flows.start))
    greatest = np.zeros(len(bandwidth))
    np.maximum.at(greatest, flows.link, own)
    is_full = carried >= bandwidth * (1 - EXACT)
    is_bottleneck = is_full[flows.link] & (own >= greatest[flows.link] * (1 - EXACT))
    for flow in np.flatnonzero(np.diff(flows.start)):
        assert is_bottleneck[flows.start[flow] : flows.start[flow + 1]].any()


@given(scenarios())
@laws
def test_no_flow_can_gain_but_from_one_that_has_less(scenario):
    shares, weights, bandwidth = scenario
    flows = flows_of(shares, weights)
    rates = fair_rates(flows, bandwidth)
    finite = [each for each in range(len(shares)) if shares[each]]
    assert np.all(np.isinf(np.delete(rates, finite)))
    linked = flows_of([shares[f] for f in finite], [weights[f] for f in finite])
    check_max_min(linked, rates[finite], bandwidth)


@given(scenarios())
@laws
def test_rates_equal_those_of_slow_filling(scenario):
    shares, weights, bandwidth = scenario
    rates = fair_rates(flows_of(shares, weights), bandwidth)
    assert rates == pytest.approx(slow_rates(shares, weights, bandwidth), rel=EXACT)


@given(scenarios(), st.sampled_from([0.25, 3.0, 1e6]))
@laws
def test_rates_scale_with_bandwidth_and_not_with_weights(scenario, factor):
    shares, weights, bandwidth = scenario
    flows = flows_of(shares, weights)
    rates = fair_rates(flows, bandwidth)
    wider = fair_rates(flows, bandwidth * factor)
    assert wider == pytest.approx(rates * factor, rel=EXACT)
    heavier = flows._replace(weight=flows.weight * factor)
    assert fair_rates(heavier, bandwidth) == pytest.approx(rates, rel=EXACT)


@given(scenarios(), st.randoms(use_true_random=False))
@laws
def test_the_order_of_flows_and_the_names_of_links_do_not_matter(scenario, random):
    shares, weights, bandwidth = scenario
    rates = fair_rates(flows_of(shares, weights), bandwidth)
    flows, names = list(range(len(shares))), list(range(len(bandwidth)))
    random.shuffle(flows)
    random.shuffle(names)
    renamed = [{names[k]: v for k, v in shares[flow].items()} for flow in flows]
    moved = np.empty(len(bandwidth))
    moved[names] = bandwidth
    again = fair_rates(flows_of(renamed, [weights[flow] for flow in flows]), moved)
    assert again == pytest.approx(rates[flows], rel=EXACT)


@given(scenarios(), st.integers(0, 6))
@laws
def test_flows_that_share_no_link_do_not_touch_each_other(scenario, link):
    shares, weights, bandwidth = scenario
    some = np.zeros(len(bandwidth), bool)
    some[link % len(bandwidth)] = True
    linked = [each for each in range(len(shares)) if shares[each]]
    if not linked:
        return
    shares, weights = [shares[f] for f in linked], [weights[f] for f in linked]
    flows = flows_of(shares, weights)
    part = np.flatnonzero(connected(flows, some))
    alone = flows_of([shares[f] for f in part], [weights[f] for f in part])
    expected = fair_rates(flows, bandwidth)[part]
    assert fair_rates(alone, bandwidth) == pytest.approx(expected, rel=EXACT)


@st.composite
def plain_scenarios(draw):
    """All weights and shares alike."""
    shares, weights, bandwidth = draw(scenarios())
    shares = [dict.fromkeys(each, 1.0) for each in shares]
    return shares, [draw(heavy)] * len(weights), bandwidth


@given(plain_scenarios())
@laws
def test_rates_of_flows_that_are_all_alike_equal_those_of_slow_filling(scenario):
    shares, weights, bandwidth = scenario
    rates = fair_rates(flows_of(shares, weights), bandwidth)
    assert rates == pytest.approx(slow_rates(shares, weights, bandwidth), rel=EXACT)


def num_levels(rates, weights):
    """How many different levels there are, to within rounding."""
    level = rates / weights
    return len(np.unique(np.round(np.log(level[np.isfinite(level)]), 9)))


@given(scenarios())
@laws
def test_there_are_no_more_rounds_than_levels(scenario):
    shares, weights, bandwidth = scenario
    rates, rounds = fill(flows_of(shares, weights), bandwidth)
    assert rounds <= num_levels(rates, weights)


def random_flows(rng, hops, num_links):
    """Flows of so many links each, with any weights and shares."""
    drawn = [rng.choice(num_links, count, replace=False) for count in hops]
    start = np.cumsum([0, *hops])
    share = rng.uniform(0.05, 1.0, start[-1])
    link = np.concatenate(drawn).astype(np.int64)
    return Flows(start, link, share, rng.uniform(0.1, 10.0, len(hops)))


@given(st.integers(0, 2**32 - 1))
@settings(laws, max_examples=50)
def test_flows_of_one_link_and_of_hundreds_share_fairly(seed):
    rng = np.random.default_rng(seed)
    num_links = 300
    bandwidth = 10.0 ** rng.uniform(-1.0, 1.0, num_links)
    hops = rng.choice([1, 2, 3, 7, 20, 150, 300], 40, p=[0.3, 0.3, 0.2, *[0.05] * 4])
    flows = random_flows(rng, hops, num_links)
    rates, rounds = fill(flows, bandwidth)
    check_max_min(flows, rates, bandwidth)
    assert rounds <= num_levels(rates, flows.weight)


def test_weights_too_far_apart_for_exact_sums_are_summed_anew():
    # Flow 0 pulls 2^60 times as hard, until link 0 is full; flow 1 has link 1 then.
    flows = flows_of([{0: 1, 1: 1}, {1: 1}], [2.0**60, 1.0])
    assert fair_rates(flows, np.array([1.0, 4.0])).tolist() == [1.0, 3.0]


def test_where_there_are_no_links_nothing_limits():
    assert fair_rates(flows_of([], []), np.ones(2)).tolist() == []
    assert fair_rates(flows_of([{}], [2.0]), np.ones(2)).tolist() == [np.inf]


def test_the_textbook_case():
    # Two links of 1; one flow over both, one over each: all get a half.
    flows = flows_of([{0: 1, 1: 1}, {0: 1}, {1: 1}], [1, 1, 1])
    assert fair_rates(flows, np.ones(2)).tolist() == [0.5, 0.5, 0.5]
    # The second link of 2: what the long flow cannot use goes to the short one.
    assert fair_rates(flows, np.array([1.0, 2.0])).tolist() == [0.5, 0.5, 1.5]


@pytest.mark.parametrize("spread", ["one", "hashed", "split"])
def test_a_thousand_random_flows_on_a_fat_tree(spread):
    network = build("fat-tree", k=8, bandwidth=12.5e9, latency=1e-6)
    rng = np.random.default_rng(7)
    sender = rng.integers(0, network.num_hosts, 1000)
    receiver = (sender + rng.integers(1, network.num_hosts, 1000)) % network.num_hosts
    found = routes(network, np.stack([sender, receiver], 1), spread=spread)
    flows = Flows(found.start, found.link, found.fraction, rng.choice([1.0, 2.0], 1000))
    rates, rounds = fill(flows, network.bandwidth)
    check_max_min(flows, rates, network.bandwidth)
    assert rounds <= min(num_levels(rates, flows.weight), 50)
