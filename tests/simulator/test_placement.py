"""Groups on nodes: which links they use, and what share of them."""

from dataclasses import replace

import numpy as np
import pytest

from simulator.job import prepare
from simulator.mesh import Degrees
from simulator.pricing.link_fits import link_fit
from simulator.pricing.placement import group
from tests.laws.small_plans import plan
from topologies.catalogue import link
from topologies.profile_file import load_profile


@pytest.fixture(scope="module")
def machine():
    """Nodes of 8 devices and 4 adapters; numbers that divide without rest."""
    job = prepare(plan(tensor=2, data=16, per_node=8, adapters=4))
    cluster = replace(
        job.cluster,
        fabric=replace(job.cluster.fabric, bandwidth=1024.0),
        network=replace(job.cluster.network, bandwidth=128.0),
    )
    links = {
        name: replace(fit, efficiency=1.0) for name, fit in job.profile.links.items()
    }
    return cluster, replace(job.profile, links=links)


def ring(machine, axis, *degrees, pair=(0, 1)):
    return group(axis, Degrees(*degrees), *machine, pair)


def test_tensor_ranks_in_a_node_use_its_fabric(machine):
    assert ring(machine, "tensor", 8, 4, 2).num_ranks == 8
    assert ring(machine, "tensor", 8, 4, 2).bandwidth == 1024


@pytest.mark.parametrize(
    ("tensor", "data", "bandwidth"),
    [
        # 8 groups of one rank a node share 4 x 128: each has an eighth.
        (8, 4, 64.0),
        # 2 groups a node, of 4 ranks each: a ring leaves the node once, and half
        # of the adapters are its own.
        (2, 16, 256.0),
        # One group of all 8 ranks has all of them.
        (1, 16, 512.0),
        # It fits into the node.
        (2, 4, 1024.0),
    ],
)
def test_data_groups_share_the_adapters_of_a_node(machine, tensor, data, bandwidth):
    assert ring(machine, "data", tensor, data, 2).bandwidth == bandwidth
    assert ring(machine, "data", tensor, data, 2).num_ranks == data


def test_the_narrowest_hop_sets_the_pace(machine):
    cluster, profile = machine
    wide = replace(cluster, network=replace(cluster.network, bandwidth=4096.0))
    assert group("data", Degrees(1, 16, 1), wide, profile).bandwidth == 1024


def test_transfers_between_stages_in_a_node_use_its_fabric(machine):
    # 2 x 1 devices a stage, 8 a node: stages 0 to 3 share a node, 4 to 7 the next.
    near = ring(machine, "pipeline", 2, 1, 8, pair=(0, 1))
    far = ring(machine, "pipeline", 2, 1, 8, pair=(3, 4))
    assert near.bandwidth == 1024
    assert near.num_ranks == far.num_ranks == 2
    assert far.bandwidth < near.bandwidth


def test_transfers_between_nodes_share_its_adapters(machine):
    # All 8 devices of a node send at the same time.
    assert ring(machine, "pipeline", 8, 1, 4).bandwidth == 4 * 128 / 8


def test_the_norm_is_agreed_on_by_a_replica(machine):
    assert ring(machine, "model", 8, 4, 2).num_ranks == 16


def test_tied_embeddings_meet_over_first_and_last_stage(machine):
    assert ring(machine, "embedding", 8, 1, 4).num_ranks == 2
    assert ring(machine, "embedding", 8, 1, 1).num_ranks == 1
    assert ring(machine, "embedding", 8, 1, 4).bandwidth == 4 * 128 / 8


@pytest.mark.parametrize("axis", ["tensor", "data", "pipeline", "embedding", "model"])
def test_degrees_may_be_arrays(machine, axis):
    shapes = [(1, 16, 2), (2, 4, 4), (8, 2, 2), (4, 8, 1)]
    columns = (np.array(column, float) for column in zip(*shapes, strict=True))
    many = group(axis, Degrees(*columns), *machine)
    for position, shape in enumerate(shapes):
        one = ring(machine, axis, *shape)
        for field in ("num_ranks", "start", "hop", "bandwidth", "transfer"):
            values = np.broadcast_to(getattr(many, field), len(shapes))
            assert values[position] == getattr(one, field)


def test_a_link_without_a_fit_is_its_data_sheet(machine):
    cluster, profile = machine
    link = replace(cluster.network, name="new", latency=3.0, efficiency=0.5)
    fit = link_fit(link, profile)
    assert (fit.efficiency, fit.start, fit.hop, fit.transfer) == (0.5, 3.0, 3.0, 3.0)


def test_a_plans_own_latency_moves_what_was_fitted_to_the_link():
    sheet = link("infiniband-hdr")
    slower = replace(sheet, latency=sheet.latency + 1e-3, moved=1e-3)
    fitted = load_profile("a100").links["infiniband-hdr"]
    moved = link_fit(slower, load_profile("a100"))
    assert moved.hop == fitted.hop + 1e-3
    assert moved.transfer == fitted.transfer + 1e-3
    assert moved.efficiency == fitted.efficiency


def test_a_step_of_a_ring_costs_the_mean_of_its_hops(machine):
    _, profile = machine
    inside = profile.links["nvlink-3"].hop
    outside = profile.links["infiniband-hdr"].hop
    # 8 a node: with tensor 2 a data ring has 4 ranks in each, and one hop of 4 leaves.
    mean = outside / 4 + inside * 3 / 4
    assert ring(machine, "data", 2, 16, 2).hop == pytest.approx(mean)
    assert ring(machine, "data", 8, 4, 2).hop == outside
    assert ring(machine, "data", 2, 4, 2).hop == inside
    assert ring(machine, "tensor", 16, 1, 2).hop == outside / 8 + inside * 7 / 8
