"""Devices that are threads of few cores: kernels take turns, on paper and by law."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.api import run, simulate
from simulator.engines.event import simulate_events
from simulator.engines.graph import build_graph
from simulator.engines.longest_path import longest_path
from simulator.engines.shared import Tenant, simulate_shared
from simulator.job import prepare
from simulator.plan import Plan
from simulator.pricing.price import kernel, message
from simulator.workload import Body, Op, Role, Workload
from tests.laws.small_plans import plans
from topologies.profile_file import load_profile

ROUNDING = 1e-9  # work is written off in other sums
times = st.floats(0.01, 10.0)


class Sending(NamedTuple):
    """Eight bytes on a link of 1 B/s, of which each takes so long of a core."""

    work: float

    def run(self, network, *, expanded=False):
        """Send them."""
        del expanded
        return network.start([0], [8.0], work=self.work)


def beside_a_message(work, cores=2):
    """Ends of two kernels of 1 s, and of a message of 8 s by a third rank."""
    rows = [*alone(1.0, 1.0), (2, "data", message(8.0, 0.0), ())]
    graphs = []
    run_ops(rows, cores, engine=lambda graph: graphs.append(graph) or graph)
    return simulate_shared(Tenant(graphs[0], {2: Sending(work)}), np.ones(1))


def run_ops(rows, cores, slowdown=0.0, engine=simulate_events):
    """Times of ops, each given as (rank, stream, price, after)."""
    bodies = [Body(str(i), "message", ()) for i in range(len(rows))]
    prices = {body: row[2] for body, row in zip(bodies, rows, strict=True)}
    ops = tuple(
        Op(str(i), (rank,), stream, body, after, False)
        for i, (body, (rank, stream, _, after)) in enumerate(
            zip(bodies, rows, strict=True)
        )
    )
    roles = tuple(Role(0, rank, 0, 1) for rank in range(8))
    return engine(build_graph(Workload(roles, ops), prices, slowdown, cores))


def alone(*busy):
    """One kernel on each rank, all from the beginning."""
    return [(rank, "compute", kernel(b, 0.0), ()) for rank, b in enumerate(busy)]


def test_three_equal_kernels_on_two_cores_take_half_as_long_again():
    answer = run_ops(alone(2.0, 2.0, 2.0), cores=2)
    assert answer.end == [3.0] * 3
    assert dict(answer.crowded) == {0: 1.0, 1: 1.0, 2: 1.0}
    assert dict(answer.slowed) == {0: 0.0, 1: 0.0, 2: 0.0}


def test_who_ends_first_leaves_the_others_more():
    # One core: both have done 1 s at 2, then the second has it for itself.
    assert run_ops(alone(1.0, 3.0), cores=1).end == [2.0, 4.0]


def test_messages_without_a_price_take_no_core():
    rows = [*alone(1.0), (1, "data", message(1.0, 0.0), ())]
    assert run_ops(rows, cores=1).end == [1.0, 1.0]


def test_what_messages_need_of_the_cores_kernels_lack():
    # Half a core for 8 s: one and a half are left for two kernels of 1 s.
    answer = beside_a_message(0.5)
    assert answer.end == [pytest.approx(4 / 3), pytest.approx(4 / 3), 8.0]
    assert answer.crowded[0] == pytest.approx(1 / 3)
    # Three are asked for: kernels keep one, and the message is not slowed.
    assert beside_a_message(3.0).end == [2.0, 2.0, 8.0]
    # A core is free: nobody lacks anything.
    assert beside_a_message(0.5, cores=3).end == [1.0, 1.0, 8.0]


@given(less=st.floats(0.0, 2.0), more=st.floats(0.0, 2.0))
@settings(derandomize=True, deadline=None, max_examples=30)
def test_sending_that_takes_more_is_never_faster(less, more):
    fast, slow = (beside_a_message(work).end for work in sorted((less, more)))
    assert all(a <= b * (1 + ROUNDING) for a, b in zip(fast, slow, strict=True))


def costly(profile, link, rate, time):
    """A profile with a price of cores on one of its links."""
    fit = replace(profile.links[link], core_rate=rate, core_message=time)
    return replace(profile, links={**profile.links, link: fit})


ON_A_RING = {
    "model": {"family": "mlp", "widths": [256] * 5},
    "batch": {"global": 64, "micro": 8},
    "parallelism": {"pipeline": 2, "schedule": "1f1b"},
    "synchronization": {"algorithm": "ring", "overlap": True, "bucket": "200 kB"},
    "training": {"precision": "fp32", "optimizer": "sgd", "framework": "torch"},
    "cluster": {
        "device": "gtx-580",
        "profile": "gloo-emulated",
        "shared_cores": 2,
        "nodes": 8,
        "network": {
            "topology": "ring",
            "link": "ethernet-1",
            "bandwidth": "500 Mbit/s",
            "multipath": "one",
        },
    },
}


def test_sending_for_nothing_is_sending_without_a_price():
    plan = Plan.from_mapping(ON_A_RING)
    profile = load_profile("gloo-emulated")
    free = costly(profile, "ethernet-1", float("inf"), 0.0)
    times = [simulate(plan, profile=each).step_time_s for each in (profile, free)]
    assert times[0] == times[1]


def test_the_price_of_sending_is_in_compute_of_the_event_engine_alone():
    plan = Plan.from_mapping(ON_A_RING)
    profile = load_profile("gloo-emulated")
    dear = costly(profile, "ethernet-1", 1e7, 1e-3)
    before, after = (simulate(plan, profile=each) for each in (profile, dear))
    assert after.breakdown.compute_s > before.breakdown.compute_s
    assert after.breakdown.total == pytest.approx(after.step_time_s, rel=ROUNDING)
    paths = [
        simulate(plan, profile=each, engine="analytical").step_time_s
        for each in (profile, dear)
    ]
    assert paths[0] == paths[1]


def test_a_kernel_slowed_by_both_is_told_apart():
    # Rank 0 sends beside its kernel, κ = 1, and shares one core: a quarter of the
    # rate. Rank 1 is through at 2, when 0 has done half a second; then half the rate.
    rows = [*alone(1.0, 1.0), (0, "data", message(9.0, 0.0), ())]
    answer = run_ops(rows, cores=1, slowdown=1.0)
    assert answer.end == [3.0, 2.0, 9.0]
    assert (answer.crowded[0], answer.slowed[0]) == (1.0, 1.0)


@given(busy=st.lists(times, min_size=1, max_size=8), cores=st.integers(1, 8))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_cores_do_all_the_work_and_no_more(busy, cores):
    """The last end is at least the work over the cores, and one kernel by itself.

    Sorted by work, the k-th to end does so when those before have had their equal
    shares: all that is left of n kernels goes on at min(1, C / n).
    """
    ends, clock, done = [], 0.0, 0.0
    for place, work in enumerate(sorted(busy)):
        clock += (work - done) * max(1.0, (len(busy) - place) / cores)
        done = work
        ends.append(clock)
    answer = run_ops(alone(*busy), cores)
    assert pytest.approx(ends, rel=ROUNDING) == sorted(answer.end)
    assert max(answer.end) >= max(sum(busy) / cores, *busy) * (1 - ROUNDING)


@given(small=plans())
@settings(derandomize=True, deadline=None, max_examples=10)
def test_a_core_for_each_device_changes_nothing(small):
    job = prepare(small, is_folded=False)
    many = prepare(small.replace({"cluster.shared_cores": small.world_size}))
    times = [run(each, "event").step_time for each in (job, many)]
    assert times[1] == pytest.approx(times[0], rel=ROUNDING)


@given(small=plans())
@settings(derandomize=True, deadline=None, max_examples=10)
def test_fewer_cores_never_help(small):
    """Work of all devices over one core at least; alone, as the analytical engine."""
    one = small.replace({"cluster.shared_cores": 1})
    crowded, single = simulate(one), simulate(small)
    assert crowded.step_time_s >= single.step_time_s * (1 - ROUNDING)
    work = single.breakdown.compute_s * small.world_size
    assert crowded.step_time_s >= work * (1 - ROUNDING)
    parts = crowded.breakdown
    assert parts.total == pytest.approx(crowded.step_time_s, rel=ROUNDING)
    lone = [simulate(each, engine="analytical").step_time_s for each in (one, small)]
    assert lone[0] == pytest.approx(lone[1], rel=ROUNDING)


def test_the_analytical_engine_gives_each_device_a_core():
    assert run_ops(alone(2.0, 2.0), cores=1, engine=longest_path).end == [2.0, 2.0]
