"""Which algorithm and protocol: the fastest that is allowed, and none that is not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.collectives import TABLE
from simulator.collectives.options import Options
from simulator.mesh import Degrees
from simulator.plan import Plan
from simulator.pricing.choice import Allowed, candidates, choose, fastest_time, serves
from simulator.pricing.placement import group
from topologies.catalogue import link
from topologies.hardware import Cluster
from topologies.profile_file import load_profile
from topologies.units import parse_quantity

PLACES = {  # profile: device, fabric, devices in a node, network
    "a100": ("a100-sxm4-80gb", "nvlink-3", 8, "infiniband-hdr"),
    "h100": ("h100-sxm5-80gb", "nvlink-4", 8, "infiniband-ndr"),
    "b200": ("b200-sxm-180gb", "nvlink-5", 8, "infiniband-ndr"),
    "deepbench-plx10": ("gtx-1080-ti", "pcie-3-x16", 8, "infiniband-fdr"),
    "aws-p3-tcp": ("v100-sxm2-16gb", "nvlink-2", 1, "ethernet-10"),
    "generic": ("v100-sxm2-16gb", "nvlink-2", 4, "ethernet-25"),
}
ALGORITHMS = [row.name for row in candidates("all-reduce", "auto")]
MEGABYTE = parse_quantity("1 MB", "B")

sizes = st.floats(1.0, 1e10)


def cluster_of(name, nodes=4) -> Cluster:
    device, fabric, per_node, network = PLACES[name]
    mapping = {
        "model": {"name": "alexnet"},
        "batch": {"global": nodes * per_node, "micro": 1},
        "training": {"precision": "fp32"},
        "cluster": {
            "device": device,
            "nodes": nodes,
            "devices_per_node": per_node,
            "fabric": fabric,
            "network": {"link": network},
        },
    }
    return Plan.from_mapping(mapping).build_cluster()


CLUSTERS = {name: cluster_of(name) for name in PLACES}
places = st.sampled_from(sorted(PLACES))
ranks = st.integers(2, 32)


def members(name, num_ranks, tensor=1):
    degrees = Degrees(tensor, num_ranks, 1)
    return group("data", degrees, CLUSTERS[name], load_profile(name))


def allowed(num_ranks):
    rows = candidates("all-reduce", "auto")
    return [row.name for row in rows if not row.allows(num_ranks)]


@given(places, ranks, sizes)
@settings(deadline=None, max_examples=50)
def test_auto_is_as_fast_as_the_fastest_that_needs_no_help(place, num_ranks, size):
    ring = members(place, num_ranks)
    best = choose("all-reduce", size, ring)
    for name in allowed(num_ranks):
        if serves((), TABLE["all-reduce", name]):
            assert best.time <= choose("all-reduce", size, ring, Allowed(name)).time
    assert best.time == choose("all-reduce", size, ring, Allowed(best.algorithm)).time
    assert best.time == fastest_time("all-reduce", size, ring)


@given(places, ranks, sizes, st.floats(1.0, 10.0), st.sampled_from(ALGORITHMS))
@settings(deadline=None, max_examples=100)
def test_a_larger_message_takes_no_less(place, num_ranks, size, factor, algorithm):
    if algorithm not in allowed(num_ranks):
        return
    ring = members(place, num_ranks)
    small, large = (
        choose("all-reduce", one, ring, Allowed(algorithm)).time
        for one in (size, factor * size)
    )
    assert small <= large * (1 + 1e-12)  # rounding


@pytest.mark.parametrize("algorithm", ["auto", *ALGORITHMS])
@pytest.mark.parametrize("place", sorted(PLACES))
def test_many_plans_at_once_are_what_each_is_alone(place, algorithm):
    counts = [2, 4, 6, 8, 16, 32]
    wanted = Allowed(algorithm, options=Options(per_node=2))
    many = group(
        "data", Degrees(1, np.array(counts), 1), CLUSTERS[place], load_profile(place)
    )
    together = fastest_time("all-reduce", MEGABYTE, many, wanted)
    for count, time in zip(counts, np.broadcast_to(together, 6), strict=True):
        ring = members(place, count)
        alone = fastest_time("all-reduce", MEGABYTE, ring, wanted)
        assert time == pytest.approx(alone, rel=1e-12)


def test_what_is_not_offered_is_not_chosen():
    ring = members("generic", 16)
    assert (
        choose("all-reduce", MEGABYTE, ring, Allowed(offered=("ring",))).algorithm
        == "ring"
    )


def test_switches_add_where_a_protocol_says_so_or_the_plan_does():
    chosen = choose("all-reduce", 1000 * MEGABYTE, members("h100", 8))
    assert (chosen.algorithm, chosen.protocol) == ("in-network", "nvls")
    assert choose("all-reduce", MEGABYTE, members("a100", 8)).algorithm != "in-network"
    asked = choose("all-reduce", MEGABYTE, members("a100", 8), Allowed("in-network"))
    assert asked.algorithm == "in-network"


def test_small_and_large_messages_take_different_protocols():
    ring = members("a100", 8)
    protocols = [
        choose("all-reduce", s * MEGABYTE, ring, Allowed("ring")) for s in (1, 1000)
    ]
    assert [choice.protocol for choice in protocols] == ["ll128", "simple"]


def test_a_protocol_can_be_asked_for():
    ring = members("a100", 8)
    slow = choose("all-reduce", MEGABYTE, ring, Allowed("ring", "simple"))
    assert slow.protocol == "simple"
    assert slow.time > choose("all-reduce", MEGABYTE, ring, Allowed("ring")).time
    with pytest.raises(ValueError, match="no all-reduce by ring for 8 ranks under ll"):
        choose("all-reduce", MEGABYTE, ring, Allowed("ring", "ll"))


def test_an_algorithm_that_is_none_is_an_error_that_names_some():
    with pytest.raises(ValueError, match="'rong'; there are ring"):
        choose("all-reduce", MEGABYTE, members("a100", 8), Allowed("rong"))


def test_a_ring_over_two_switches_has_what_is_left_between_them():
    # 5 devices share a switch; 8 do not.
    fit = load_profile("deepbench-plx10").links["pcie-3-x16"]
    near, far = (members("deepbench-plx10", n) for n in (4, 8))
    bytes_sent = {4: 1.5, 8: 1.75}
    size = 1000 * MEGABYTE
    rates = [
        bytes_sent[int(ring.num_ranks)]
        * size
        / choose("all-reduce", size, ring, Allowed("ring")).time
        for ring in (near, far)
    ]
    assert rates[1] / rates[0] == pytest.approx(fit.across, rel=0.01)


def test_halves_that_meet_across_switches_are_slowed_by_their_share():
    # 16 ends, 8 a switch: of 2 (1 - 1/16) S each sends S across, at half the rate.
    profile = load_profile("deepbench-knl")
    fits = {
        name: replace(fit, start=0.0, hop=0.0, across=0.5, efficiency=1.0)
        for name, fit in profile.links.items()
    }
    cluster = replace(cluster_of("generic", 16), devices_per_node=1)
    cluster = replace(cluster, network=link("omni-path-100"))
    ring = group("data", Degrees(1, 16, 1), cluster, replace(profile, links=fits))
    time = choose("all-reduce", MEGABYTE, ring, Allowed("halving-doubling")).time
    rate = cluster.network.bandwidth
    assert time == pytest.approx((2 * (1 - 1 / 16) + 1) * MEGABYTE / rate)


def test_a_window_limits_a_ring_on_a_long_link():
    fit = load_profile("aws-p3-tcp").links["ethernet-10.ring"]
    cluster = CLUSTERS["aws-p3-tcp"]
    latency = 0.5
    long = replace(
        cluster.network, latency=latency, moved=latency - cluster.network.latency
    )
    far = replace(cluster, network=long)
    ring = group("data", Degrees(1, 4, 1), far, load_profile("aws-p3-tcp"))
    size = 1000 * MEGABYTE
    bytes_time = 1.5 * size / (fit.window / latency)
    waits = fit.waits * latency
    time = choose("all-reduce", size, ring, Allowed("ring")).time
    assert time == pytest.approx(bytes_time + waits, rel=1e-3)
    # Sends that nobody adds to are not held back.
    assert choose("all-to-all", size, ring, Allowed("direct")).time < 0.1 * time


def test_a_host_that_copies_carries_no_more_over_all_its_adapters():
    slow = replace(CLUSTERS["generic"].network, copy_rate=1e6)
    cluster = replace(CLUSTERS["generic"], network=slow, adapters_per_node=4)
    ring = group("data", Degrees(1, 16, 1), cluster, load_profile("generic"))
    assert ring.bandwidth == 1e6
