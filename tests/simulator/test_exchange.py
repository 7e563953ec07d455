"""An all-to-all on the links of nodes, against bytes counted rank by rank."""

from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from simulator.job import prepare
from simulator.mesh import members
from simulator.pricing.exchange import exchange_group
from simulator.workload import Message
from tests.laws.spread_plans import EXPERTS, spread


def busiest(groups, per_node, world):
    """Most that one device sends inside its node, and that leaves one node, of n."""
    inside, leaving = [0] * world, [0] * (world // per_node)
    for group in groups:
        for one, other in product(group, group):
            if one // per_node != other // per_node:
                leaving[one // per_node] += 1
            elif one != other:
                inside[one] += 1
    return max(inside), max(leaving)


@given(
    tensor=st.sampled_from([1, 2, 4]),
    data=st.sampled_from([2, 4, 8]),
    expert=st.sampled_from([2, 4, 8]),
    per_node=st.sampled_from([1, 2, 4, 8]),
    adapters=st.sampled_from([1, 4]),
)
@settings(derandomize=True, deadline=None, max_examples=40)
def test_an_exchange_takes_as_long_as_its_busiest_link(
    tensor, data, expert, per_node, adapters
):
    assume(data % expert == 0)
    assume(tensor * data % per_node == 0)
    plan = spread(
        tensor=tensor,
        data=data,
        expert=expert,
        experts=EXPERTS,
        per_node=per_node,
        adapters=adapters,
    )
    job = prepare(plan)
    degrees, pricer = plan.parallelism.degrees, job.pricer
    world = tensor * data
    groups = members(degrees.span("expert"), world)
    inside, leaving = busiest(groups, per_node, world)
    size = 8e6
    cluster, profile = job.cluster, job.profile
    fabric = cluster.fabric.bandwidth * profile.links["nvlink-3"].efficiency
    network = cluster.network.bandwidth * profile.links["infiniband-hdr"].efficiency
    part = size / expert
    longest = max(inside * part / fabric, leaving * part / (adapters * network))
    ring = exchange_group("expert", degrees, cluster, profile)
    assert ring.bandwidth == pytest.approx((expert - 1) * part / longest)
    message = Message("rows", "all-to-all", "expert", size)
    assert pricer.message_time(message) == pytest.approx(
        ring.start + ring.hop + longest
    )
    assert pricer.choice(message).algorithm == "direct"
