"""Which groups leave their node: the closed form against every rank's address."""

import itertools

import pytest

from simulator.mesh import Degrees, group_of, members
from simulator.plan import Plan
from simulator.pricing.placement import group
from topologies.profile_file import load_profile

NODE = 8
AXES = ("tensor", "context", "expert", "data", "expert-data", "shard", "replicate")
MESHES = [
    mesh
    for mesh in itertools.product((1, 2, 3, 4, 8, 16), (1, 2, 3, 4, 6, 8), (1, 2, 3, 8))
    if (mesh[0] * mesh[1] * mesh[2]) % NODE == 0
]


def cluster_of(devices):
    mapping = {
        "model": {"name": "alexnet"},
        "batch": {"global": devices, "micro": 1},
        "training": {"precision": "fp32"},
        "cluster": {
            "device": "v100-sxm2-16gb",
            "nodes": devices // NODE,
            "devices_per_node": NODE,
            "fabric": "nvlink-2",
            "network": {"link": "ethernet-10"},
        },
    }
    return Plan.from_mapping(mapping).build_cluster()


def groups_by_hand(axis, tensor, data, pipeline, pair):
    """Return the ranks of every group, tensor innermost, then data, then pipeline."""

    def rank(p, d, t):
        return (p * data + d) * tensor + t

    ts, ds, ps = range(tensor), range(data), range(pipeline)
    if axis == "tensor":
        return [[rank(p, d, t) for t in ts] for p in ps for d in ds]
    if axis == "data":
        return [[rank(p, d, t) for d in ds] for p in ps for t in ts]
    return [[rank(p, d, t) for p in pair] for d in ds for t in ts]


def blocks_by_hand(axis, degrees, data):
    """Return the ranks of every group of one stage with contexts, from coordinates."""
    tensor, context = degrees.tensor, degrees.context
    part = degrees.expert if axis.startswith("expert") else degrees.shard
    key = {
        "tensor": lambda t, c, d: (c, d),
        "context": lambda t, c, d: (t, d),
        "data": lambda t, c, d: (t,),
        "expert": lambda t, c, d: (t, (d * context + c) // part),
        "expert-data": lambda t, c, d: (t, (d * context + c) % part),
        "shard": lambda t, c, d: (t, (d * context + c) // part),
        "replicate": lambda t, c, d: (t, (d * context + c) % part),
    }[axis]
    groups = {}
    for d, c, t in itertools.product(range(data), range(context), range(tensor)):
        groups.setdefault(key(t, c, d), []).append((d * context + c) * tensor + t)
    return sorted(map(tuple, groups.values()))


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize(
    "sizes", [*itertools.product((1, 2), (1, 2, 3), (2, 4))], ids=str
)
def test_groups_of_a_stage_are_those_of_the_coordinates(axis, sizes):
    tensor, context, data = sizes
    degrees = Degrees(tensor, data, 1, context, expert=2, shard=data)
    plane = tensor * context * data
    by_hand = blocks_by_hand(axis, degrees, data)
    assert by_hand == sorted(members(degrees.span(axis), plane))
    for ranks in by_hand:
        assert all(ranks == group_of(degrees.span(axis), rank) for rank in ranks)


@pytest.mark.parametrize("mesh", MESHES, ids=str)
def test_a_group_is_on_the_network_if_any_like_it_leaves_its_node(mesh):
    tensor, data, pipeline = mesh
    cluster = cluster_of(tensor * data * pipeline)
    profile = load_profile("generic")
    cases = [("tensor", (0, 0)), ("data", (0, 0)), ("embedding", (0, pipeline - 1))]
    cases += [("pipeline", (stage, stage + 1)) for stage in range(pipeline - 1)]
    for axis, pair in cases:
        ranks = groups_by_hand(axis, tensor, data, pipeline, pair)
        if len(ranks[0]) == 1:
            continue
        leaves = any(len({rank // NODE for rank in ring}) > 1 for ring in ranks)
        placed = group(axis, Degrees(*mesh), cluster, profile, pair)
        is_slow = placed.bandwidth < cluster.fabric.bandwidth * 0.5
        assert leaves == bool(is_slow), (axis, pair)


def test_one_transfer_has_a_whole_adapter_when_nobody_shares_it():
    # 16 stages of one rank on 2 nodes: only stages 7 and 8 meet on the network.
    placed = group(
        "pipeline", Degrees(1, 1, 16), cluster_of(16), load_profile("generic"), (7, 8)
    )
    link = cluster_of(16).network
    assert placed.bandwidth == link.efficiency * link.bandwidth
