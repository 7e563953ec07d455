"""Plans on graphs: where nothing contends they are as on a switch; sharing only hurts.

In the sums below, n devices, one to a node, agree on S bytes of gradients in one ring
all-reduce over links of b. Alone each of its 2 (n - 1) rounds puts S / n on each link
of the ring, so the bytes take 2 (n - 1) / n · S / b.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.api import simulate
from simulator.collectives.rounds import Round
from simulator.engines.graph import Graph
from simulator.engines.shared import Tenant, simulate_shared
from simulator.job import prepare
from simulator.lowering.formats import NORM_BYTES
from simulator.network import Traffic
from simulator.network.background import pulses, stream
from simulator.plans.network_records import BackgroundSection
from tests.laws.small_plans import meshes, networked, slowed_profile, step_time
from topologies.graphs import build
from topologies.graphs.wiring import Wiring

# Two engines, or two ways to the same messages, add the same times in another order.
ROUNDING = 1e-9
laws = settings(derandomize=True, deadline=None, max_examples=25, database=None)
few = settings(laws, max_examples=12)
LARGE = {"hidden": 512, "data": 4}  # messages that take longer than what is around them
SYMMETRIC = ("star", "full", "ring")


def step(given_plan, engine="analytical", **options):
    return simulate(given_plan, engine=engine, **options).step_time_s


def rate(result):
    """The bandwidth of the links, if all are equal."""
    (bandwidth,) = set(result.job.located.carrier.router.bandwidth.tolist())
    return bandwidth


def gradients(result):
    """S: the bytes of all all-reduces between replicas of one stage."""
    (row,) = [row for row in result.ledger if row.axis == "data"]
    return row.bytes


def ring_transfer(result, share=1.0):
    """2 (n - 1) / n · S / (share · b)."""
    n = result.job.plan.parallelism.data
    return 2 * (n - 1) / n * gradients(result) / (share * rate(result))


def norm_margin(result):
    """What the 4 bytes of the gradient norm may differ by.

    On a switch both trees of the formula send them at once; on a graph one tree does,
    where an inner rank receives from two others: at most 4 times their bytes a level.
    """
    mesh = result.job.plan.parallelism
    levels = math.ceil(math.log2(mesh.tensor * mesh.pipeline))
    return 4 * levels * NORM_BYTES / rate(result)


@given(meshes())
@laws
def test_a_star_is_a_switch_where_messages_slow_no_kernels(choices):
    """Kernels between messages of a pass are slowed by their share of it on a switch.

    On a graph those messages are ops of their own, and so are the kernels.
    """
    plain = {}
    for topology in ("switch", "star"):
        small = networked(topology, **choices)
        job = prepare(small, profile=slowed_profile(small))
        plain[topology] = step_time(job)
    star = simulate(networked("star", **choices), engine="analytical")
    margin = ROUNDING * plain["switch"] + norm_margin(star)
    assert plain["star"] == pytest.approx(plain["switch"], rel=0, abs=margin)


@given(st.integers(2, 8), st.booleans(), st.sampled_from(["40 kB", "1 GB"]))
@few
def test_data_parallelism_on_a_star_is_exactly_that_on_a_switch(data, overlap, bucket):
    choices = {"data": data, "overlap": overlap, "bucket": bucket, "layers": 3}
    switch, star = networked("switch", **choices), networked("star", **choices)
    assert step(star) == pytest.approx(step(switch), rel=ROUNDING)
    assert step(star, "event") == pytest.approx(step(switch), rel=ROUNDING)


@pytest.mark.parametrize("adapters", [1, 2, 4])
def test_rings_over_a_star_use_every_adapter_as_on_a_switch(adapters):
    choices = {"data": 12, "per_node": 4, "layers": 2}
    choices["network"] = {"adapters_per_node": adapters}
    switch, star = networked("switch", **choices), networked("star", **choices)
    assert step(star) == pytest.approx(step(switch), rel=ROUNDING)


@given(meshes(), st.sampled_from(["star", "full", "ring", "wheel", "mesh"]))
@laws
def test_one_message_at_a_time_takes_the_event_engine_as_long(choices, topology):
    """Without overlap one stage sends nothing while another message is under way."""
    alone = choices | {"pipeline": 1, "overlap": False, "layers": 1}
    alone |= {"data": max(4, choices["data"]), "tensor": 1, "sequence": False}
    small = networked(topology, **alone | {"overlap_tensor": False})
    assert step(small, "event") == pytest.approx(step(small), rel=ROUNDING)


@given(meshes(), st.sampled_from(SYMMETRIC), st.booleans())
@few
def test_contention_never_makes_a_step_shorter(choices, topology, is_folded):
    small = networked(topology, **choices)
    least = step(small, is_folded=is_folded)
    assert step(small, "event", is_folded=is_folded) >= least * (1 - ROUNDING)


@given(meshes(), st.sampled_from(["star", "full"]))
@few
def test_folding_changes_nothing_where_groups_share_no_link(choices, topology):
    """Groups that one folded op stands for have their own ports on these graphs."""
    small = networked(topology, **choices)
    for engine in ("analytical", "event"):
        folded = simulate(small, engine=engine)
        unfolded = simulate(small, engine=engine, is_folded=False)
        assert unfolded.step_time_s == pytest.approx(folded.step_time_s, rel=ROUNDING)
        expected = pytest.approx(folded.link_bytes, rel=ROUNDING)
        assert expected == unfolded.link_bytes
        assert folded.ledger == unfolded.ledger


@given(st.integers(2, 7), st.booleans())
@few
def test_folding_changes_nothing_for_replicas_on_a_ring(data, overlap):
    small = networked("ring", data=data, overlap=overlap, layers=2)
    for engine in ("analytical", "event"):
        folded = step(small, engine)
        unfolded = step(small, engine, is_folded=False)
        assert unfolded == pytest.approx(folded, rel=ROUNDING)


@given(meshes())
@few
def test_written_out_only_the_event_engine_sees_groups_share_links(choices):
    """On a ring of nodes the groups of one folded op may cross the same links.

    Folded, they are one message and priced together. Written out, the longest path
    prices each alone, which is a lower bound, and the clock lets them contend again.
    """
    small = networked("ring", **choices)
    folded, alone = step(small), step(small, is_folded=False)
    assert alone <= folded * (1 + ROUNDING)
    assert step(small, "event", is_folded=False) >= alone * (1 - ROUNDING)


def test_written_out_groups_that_begin_together_contend_as_folded_ones_do():
    small = networked("ring", pipeline=2, data=3, hidden=512)
    folded = step(small, "event")
    assert step(small, is_folded=False) < 0.99 * folded
    assert step(small, "event", is_folded=False) == pytest.approx(folded, rel=ROUNDING)


# -- cross traffic ---------------------------------------------------------------------


@pytest.mark.parametrize("gigabits", [0.5, 2.0, 4.0, 6.0, 20.0])
def test_a_stream_takes_its_max_min_share_of_a_ring(gigabits):
    """On the link of both the ring gets max(b / 2, b - r), all its links wait for it.

    The step grows by 2 (n - 1) / n · S · (1 / max(b / 2, b - r) - 1 / b).
    """
    cross = {"from": 0, "to": 1, "rate": f"{gigabits} Gbit/s"}
    before = simulate(networked("ring", **LARGE))
    after = simulate(networked("ring", **LARGE, background=[cross]))
    (section,) = after.job.plan.cluster.background
    share = max(0.5, 1 - section.rate / rate(before))
    grown = ring_transfer(before, share) - ring_transfer(before)
    expected = before.step_time_s + grown
    assert after.step_time_s == pytest.approx(expected, rel=ROUNDING)


@given(
    st.sampled_from(["ring", "wheel", "star", "mesh"]),
    st.integers(4, 6),
    st.tuples(st.integers(0, 3), st.integers(0, 3)).filter(lambda t: t[0] != t[1]),
    st.sampled_from(["100 Mbit/s", "3 Gbit/s", "40 Gbit/s"]),
    st.booleans(),
)
@laws
def test_cross_traffic_never_speeds_up_one_message_at_a_time(
    topology, data, ends, amount, is_stream
):
    how = {"rate": amount} if is_stream else {"size": "1 MB", "period": "1 ms"}
    cross = {"from": ends[0], "to": ends[1], **how}
    alone = step(networked(topology, data=data, hidden=512), "event")
    shared = networked(topology, data=data, hidden=512, background=[cross])
    assert step(shared, "event") >= alone * (1 - ROUNDING)


def test_a_stream_on_other_links_changes_nothing():
    """The ring 0-1-2-3 does not use the cable between 0 and 2, nor the way back."""
    alone = step(networked("full", **LARGE, order="rank"), "event")
    for ends in ((0, 2), (1, 0)):
        cross = {"from": ends[0], "to": ends[1], "rate": "10 Gbit/s"}
        shared = networked("full", **LARGE, order="rank", background=[cross])
        assert step(shared, "event") == pytest.approx(alone, rel=ROUNDING)


def test_the_analytical_engine_sees_no_cross_traffic():
    cross = {"from": 0, "to": 1, "rate": "10 Gbit/s"}
    alone, shared = (
        networked("ring", **LARGE, background=some) for some in ((), [cross])
    )
    assert step(alone) == step(shared)


def one_message(wiring, size):
    """A step of one op: `size` bytes from host 0 to host 1."""
    sends = [Round(np.array([0]), np.array([1]), np.array([size]), 1)]
    sent = Traffic.place(wiring, [(0, 1)], sends, latency=0.0)
    graph = Graph([0.0], [0.0], [0.0], [[]], [0], [[0]], [(0,)], [False])
    return Tenant(graph, {0: sent})


def test_a_message_shares_its_link_with_every_pulse():
    """4 B at 1 B/s, with pulses of 1 B at 0 s, 4 s and 8 s.

    Until 2 s each has half: the pulse is over, 3 B are left. Until 4 s 2 B go alone.
    The next pulse and the last byte share the link until 6 s.
    """
    wiring = Wiring(network=build("ring", hosts=3, bandwidth=1.0, latency=0.0))
    tenant = one_message(wiring, 4.0)
    source = pulses(wiring, (0, 1), size=1.0, period=4.0)
    assert simulate_shared(tenant, wiring.bandwidth).end == [4.0]
    shared = simulate_shared(tenant, wiring.bandwidth, sources=[source])
    assert shared.end == [6.0]
    assert shared.under_way == {0: 6.0}
    elsewhere = pulses(wiring, (1, 0), size=1.0, period=4.0)
    others = simulate_shared(tenant, wiring.bandwidth, sources=[elsewhere])
    assert others.end == [4.0]


def test_pulses_that_come_too_fast_wait_for_each_other():
    """2 B at 1 B/s, with pulses of 1 B that would come every second.

    Each takes until 2 s, so the next begins then: half of the link, and 4 s.
    """
    wiring = Wiring(network=build("ring", hosts=3, bandwidth=1.0, latency=0.0))
    source = pulses(wiring, (0, 1), size=1.0, period=1.0)
    tenant = one_message(wiring, 2.0)
    shared = simulate_shared(tenant, wiring.bandwidth, sources=[source])
    assert shared.end == pytest.approx([4.0], rel=ROUNDING)


def test_a_stream_never_gets_more_than_it_asks_for():
    wiring = Wiring(network=build("ring", hosts=3, bandwidth=1.0, latency=0.0))
    for asked, end in ((0.25, 4 / 0.75), (0.5, 8.0), (np.inf, 8.0)):
        source = stream(wiring, (0, 1), asked)
        times = simulate_shared(
            one_message(wiring, 4.0), wiring.bandwidth, sources=[source]
        )
        assert times.end == pytest.approx([end], rel=ROUNDING)


# -- another job -----------------------------------------------------------------------


@pytest.fixture
def job_file(tmp_path):
    """Write a plan to a file, and return the table of it as cross traffic."""

    def write(given_plan, first_node):
        path = tmp_path / f"from-{first_node}.toml"
        path.write_text(given_plan.dump(), encoding="utf-8")
        return {"plan": str(path), "first_node": first_node}

    return write


def overlapping(given_plan, job):
    """Let another job begin on nodes of the plan, past the check that it does not."""
    section = BackgroundSection.model_validate(job)
    cluster = given_plan.cluster.model_copy(update={"background": (section,)})
    return given_plan.model_copy(update={"cluster": cluster})


def leaves(number, **keys):
    sizes = {"leaves": number, "hosts_per_leaf": 4, "spines": 1}
    return {"network": sizes | {"oversubscription": 4} | keys}


def test_a_job_on_other_links_changes_nothing(job_file):
    other = job_file(networked("star", **LARGE), 4)
    alone = step(networked("leaf-spine", **LARGE, **leaves(2)), "event")
    shared = networked("leaf-spine", **LARGE, **leaves(2), background=[other])
    assert step(shared, "event") == pytest.approx(alone, rel=ROUNDING)


def test_a_job_begins_at_a_node_and_not_at_a_device(job_file):
    two = {"hidden": 512, "data": 4, "per_node": 2}
    other = job_file(networked("star", **two), 4)
    alone = step(networked("leaf-spine", **two, **leaves(2)), "event")
    shared = networked("leaf-spine", **two, **leaves(2), background=[other])
    assert step(shared, "event") == pytest.approx(alone, rel=ROUNDING)
    alone_plan = networked("leaf-spine", **two, **leaves(2))
    near = overlapping(alone_plan, other | {"first_node": 1})
    assert step(near, "event") > alone * (1 + ROUNDING)


def test_jobs_that_share_a_leafs_uplink_slow_each_other(job_file):
    """Nodes 0 to 5 and 6 to 11: both rings cross the spine from the middle leaf."""
    six = {"hidden": 512, "data": 6}
    other = job_file(networked("star", **six), 6)
    alone = simulate(networked("leaf-spine", **six, **leaves(3)))
    shared = networked("leaf-spine", **six, **leaves(3), background=[other])
    parts = alone.breakdown
    slower = step(shared, "event")
    assert slower > alone.step_time_s + 0.5 * parts.exposed_communication_s
    assert slower <= alone.step_time_s + 1.01 * parts.exposed_communication_s


def test_a_job_and_its_twin_on_one_ring_have_half_of_each_link(job_file):
    """They begin together and so send together: the bytes take twice as long."""
    alone = simulate(networked("ring", **LARGE))
    twin = job_file(networked("star", **LARGE), 0)
    shared = step(overlapping(networked("ring", **LARGE), twin), "event")
    expected = alone.step_time_s + ring_transfer(alone)
    assert shared == pytest.approx(expected, rel=ROUNDING)


def test_a_job_goes_on_for_as_long_as_the_step_lasts(job_file):
    """A short job that repeats is in the way more than once."""
    long = {"hidden": 512, "data": 4, "microbatches": 8}
    short = job_file(networked("star", hidden=256, data=4, microbatches=1), 0)
    alone = step(networked("ring", **long), "event")
    once = step(overlapping(networked("ring", **long), short), "event")
    assert once > alone * (1 + ROUNDING)


def test_a_job_keeps_its_own_order_of_nodes_wherever_it_begins(job_file):
    backwards = networked("star", data=4, hidden=512, order=[3, 2, 1, 0])
    other = job_file(backwards, 4)
    shared = networked("leaf-spine", **LARGE, **leaves(2), background=[other])
    alone = networked("leaf-spine", **LARGE, **leaves(2))
    assert step(shared, "event") == pytest.approx(step(alone, "event"), rel=ROUNDING)
