"""Jobs on the clock end when a slow event loop says; every byte is counted."""

import subprocess
import sys

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.network.background import Stream
from simulator.network.fluid import FluidNetwork
from tests.simulator.network.test_fair_rates import flows_of, slow_rates

laws = settings(derandomize=True, deadline=None, max_examples=150, database=None)


def simulated(jobs, bandwidth, *, says_alone=False):
    """End of each job `(start, {link: bytes}, weight, latency)`, and the network."""
    clock = simpy.Environment()
    network = FluidNetwork(clock, bandwidth)
    ends = [None] * len(jobs)

    def run(index, at, sizes, weight, latency):
        yield clock.timeout(at)
        links = list(sizes)
        amounts = [sizes[link] for link in links]
        alone = max((b / bandwidth[link] for link, b in sizes.items()), default=0.0)
        job = network.start(
            *(links, amounts),
            weight=weight,
            latency=latency,
            alone=alone if says_alone else 0.0,
        )
        ends[index] = yield job

    for index, job in enumerate(jobs):
        clock.process(run(index, *job))
    clock.run()
    return ends, network


def slow_ends(jobs, bandwidth):
    """The same by a loop over events, all rates anew at each of them."""
    begin = [at + latency for at, _, _, latency in jobs]
    left = [max(sizes.values(), default=0.0) for _, sizes, _, _ in jobs]
    shares = [{k: v / left[j] for k, v in jobs[j][1].items()} for j in range(len(jobs))]
    ends = [b if not size else None for b, size in zip(begin, left, strict=True)]
    now = 0.0
    while None in ends:
        going = [j for j in range(len(jobs)) if ends[j] is None and begin[j] <= now]
        weights = [jobs[j][2] for j in going]
        rates = slow_rates([shares[j] for j in going], weights, bandwidth)
        events = [b for b in begin if b > now]
        events += [now + left[j] / r for j, r in zip(going, rates, strict=True)]
        after = min(events)
        for j, rate in zip(going, rates, strict=True):
            left[j] -= rate * (after - now)
            if left[j] <= 1e-9:
                ends[j] = after
        now = after
    return ends


@st.composite
def scenarios(draw):
    bandwidth = draw(st.lists(st.sampled_from([1.0, 2.0, 8.0]), min_size=1, max_size=5))
    link = st.integers(0, len(bandwidth) - 1)
    size = st.sampled_from([1.0, 3.0, 10.0, 64.0])
    times = st.sampled_from([0.0, 0.0, 0.5, 1.0, 7.25])
    job = st.tuples(
        times,
        st.dictionaries(link, size, max_size=4),
        st.sampled_from([1.0, 1.0, 2.0, 5.0]),
        times,
    )
    return draw(st.lists(job, min_size=1, max_size=8)), bandwidth


@given(scenarios())
@laws
def test_jobs_end_when_the_slow_loop_says(scenario):
    jobs, bandwidth = scenario
    ends, _ = simulated(jobs, bandwidth)
    assert ends == pytest.approx(slow_ends(jobs, bandwidth), rel=1e-9)


@given(scenarios())
@laws
def test_who_meets_nobody_needs_no_rates(scenario):
    jobs, bandwidth = scenario
    expected, plain = simulated(jobs, bandwidth)
    ends, network = simulated(jobs, bandwidth, says_alone=True)
    assert ends == pytest.approx(expected, rel=1e-9)
    assert network.carried() == pytest.approx(plain.carried(), rel=1e-12)
    assert network.solved <= plain.solved


def test_one_job_alone_is_never_solved():
    ends, network = simulated([(0.0, {0: 4.0}, 1.0, 0.0)], [2.0], says_alone=True)
    assert (ends, network.solved) == ([2.0], 0)


@given(scenarios(), st.booleans())
@laws
def test_links_carry_the_bytes_of_their_jobs(scenario, says_alone):
    jobs, bandwidth = scenario
    _, network = simulated(jobs, bandwidth, says_alone=says_alone)
    expected = np.zeros(len(bandwidth))
    for _, sizes, _, _ in jobs:
        for link, size in sizes.items():
            expected[link] += size
    assert network.carried() == pytest.approx(expected, rel=1e-12)
    assert network.rates() == []


@given(scenarios(), st.sampled_from([0.5, 4.0]))
@laws
def test_twice_the_bandwidth_and_half_the_latency_is_half_the_time(scenario, factor):
    jobs, bandwidth = scenario
    ends, _ = simulated(jobs, bandwidth)
    faster = [(at / factor, sizes, w, delay / factor) for at, sizes, w, delay in jobs]
    again, _ = simulated(faster, [width * factor for width in bandwidth])
    assert [end * factor for end in again] == pytest.approx(ends, rel=1e-12)


@given(scenarios())
@laws
def test_the_same_jobs_end_at_the_same_times_to_the_bit(scenario):
    assert simulated(*scenario)[0] == simulated(*scenario)[0]


def test_a_job_without_links_takes_its_latency():
    assert simulated([(1.0, {}, 1.0, 0.25)], [1.0])[0] == [1.25]


def test_bytes_under_way_are_counted():
    clock = simpy.Environment()
    network = FluidNetwork(clock, [2.0, 2.0])
    network.start([0, 1], [8.0, 4.0])
    clock.run(until=3.0)
    assert network.carried().tolist() == [6.0, 3.0]
    assert network.rates() == [2.0]


def test_only_what_is_connected_to_a_change_is_solved_again():
    # Two jobs on each of 50 links that nothing joins, of different lengths.
    jobs = [(0.0, {k // 2: 1.0 + k}, 1.0, 0.0) for k in range(100)]
    _, network = simulated(jobs, [1.0] * 50)
    assert network.solved == 100 + 50  # all once, then the longer of each pair


def test_one_instant_is_solved_once():
    jobs = [(0.0, {0: 1.0}, 1.0, 0.0)] * 20
    ends, network = simulated(jobs, [1.0])
    assert ends == [20.0] * 20
    assert network.solved == 20


def stream(network, shares, rate):
    """Begin background on the first links, which never ends."""
    links = np.arange(len(shares))
    Stream(links, np.array(shares), rate).begin(network, lambda: True)


def test_background_takes_its_rate():
    clock = simpy.Environment()
    network = FluidNetwork(clock, [10.0, 10.0])
    stream(network, [1.0, 0.5], 4.0)
    clock.run(network.start([0], [12.0]))
    assert clock.now == pytest.approx(2.0, rel=1e-12)  # 6 of 10 are left to it
    assert network.carried().tolist() == pytest.approx([20.0, 4.0])


def test_background_of_a_high_rate_gets_no_more_than_its_fair_share():
    clock = simpy.Environment()
    network = FluidNetwork(clock, [10.0])
    stream(network, [1.0], 100.0)
    clock.run(network.start([0], [10.0]))
    assert clock.now == pytest.approx(2.0, rel=1e-12)


def test_a_limit_leaves_the_rest_to_others():
    clock = simpy.Environment()
    network = FluidNetwork(clock, [10.0])
    slow = network.start([0], [4.0], limit=2.0)
    fast = network.start([0], [16.0])
    clock.run(slow & fast)
    assert clock.now == pytest.approx(2.0, rel=1e-12)


@given(scenarios())
@laws
def test_flows_started_together_end_as_jobs_started_one_by_one(scenario):
    jobs, bandwidth = scenario
    jobs = [(0.0, sizes, weight, 0.0) for _, sizes, weight, _ in jobs if sizes]
    expected, _ = simulated(jobs, bandwidth)
    clock = simpy.Environment()
    network = FluidNetwork(clock, bandwidth)
    most = np.array([max(sizes.values()) for _, sizes, _, _ in jobs])
    shares = [{k: v / max(s.values()) for k, v in s.items()} for _, s, _, _ in jobs]
    ends = np.zeros(len(jobs))

    def note(places):
        ends[places] = clock.now

    if jobs:
        network.start_flows(flows_of(shares, [job[2] for job in jobs]), most, note)
        clock.run()
    assert ends.tolist() == [end or 0.0 for end in expected]


def step_time(upgraded):
    """A step of three transfers: `x`; and beside it `y` and then, elsewhere, `z`.

    x goes over links 0 and 1, y over 1, z over 2. Link 0 is the one to upgrade.
    """
    clock = simpy.Environment()
    network = FluidNetwork(clock, [10.0 if upgraded else 1.0, 10.0, 1.0])

    def chain():
        yield network.start([1], [9.0])
        yield network.start([2], [9.0])

    x, y_then_z = network.start([0, 1], [10.0, 10.0]), clock.process(chain())
    clock.run(x & y_then_z)
    return clock.now


def test_a_faster_link_can_lengthen_a_step():
    # x at rate 1 leaves 9 to y: y takes 1 s and z 9 s; x is done at 10 s as well.
    assert step_time(upgraded=False) == pytest.approx(10.0, rel=1e-12)
    # x, no longer slow, takes half of link 1: y takes 1.8 s. z still takes 9 s.
    assert step_time(upgraded=True) == pytest.approx(10.8, rel=1e-12)


@pytest.mark.parametrize(
    ("links", "sizes", "options"),
    [
        ([0, 0], [1.0, 1.0], {}),
        ([0], [-1.0], {}),
        ([0], [1.0], {"weight": 0.0}),
        ([0], [1.0], {"latency": -1.0}),
        ([0], [1.0], {"limit": 0.0}),
    ],
)
def test_jobs_that_make_no_sense_are_refused(links, sizes, options):
    network = FluidNetwork(simpy.Environment(), [1.0])
    with pytest.raises(ValueError, match=r"weight|twice"):
        network.start(links, sizes, **options)


def test_links_without_bandwidth_are_refused():
    with pytest.raises(ValueError, match="bandwidth"):
        FluidNetwork(simpy.Environment(), [1.0, 0.0])


def test_contention_loads_neither_matplotlib_nor_networkx_nor_scipy():
    code = (
        "import sys, simulator.network, topologies.graphs\n"
        "assert not {'matplotlib', 'networkx', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
