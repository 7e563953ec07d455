"""Which devices take part in a message: small meshes written out by hand."""

from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.located.mesh import Mesh
from simulator.mesh import Degrees, members
from simulator.workload import Message, Role

# Two tensor, three data, two pipeline ranks: device = (p · 3 + d) · 2 + t.
MESH = Mesh(Degrees(tensor=2, data=3, pipeline=2))
FIRST = Role(0, 0, 0, 6)
LAST = Role(0, 1, 0, 6)


def message(axis, pair=(0, 1)):
    pattern = "send" if axis == "pipeline" else "all-reduce"
    return Message("a message", pattern, axis, 8.0, pair)


def test_ranks_are_numbered_tensor_innermost_then_context_then_data():
    degrees = Degrees(tensor=2, data=3, pipeline=2, context=2)
    assert degrees.place(Role(0, 0, 1, 1)) == 1
    assert degrees.place(Role(0, 0, 0, 1, context=1)) == 2
    assert degrees.place(Role(1, 0, 0, 1)) == 4
    assert list(range(12)) == [degrees.place(role) for role in degrees.roles(1)]
    assert Mesh(degrees).device(1, 11) == 23


@pytest.mark.parametrize(
    ("axis", "groups"),
    [
        ("tensor", [(0, 1), (2, 3), (4, 5)]),
        ("data", [(0, 2, 4), (1, 3, 5)]),
        ("model", [(0, 1, 6, 7), (2, 3, 8, 9), (4, 5, 10, 11)]),
        ("pipeline", [(0, 6), (1, 7), (2, 8), (3, 9), (4, 10), (5, 11)]),
        ("embedding", [(0, 6), (1, 7), (2, 8), (3, 9), (4, 10), (5, 11)]),
    ],
)
def test_a_folded_op_stands_for_the_groups_of_all_replicas(axis, groups):
    assert MESH.groups(message(axis), [FIRST]) == groups


@pytest.mark.parametrize(
    ("axis", "group"),
    [
        ("tensor", (10, 11)),
        ("data", (7, 9, 11)),
        ("model", (4, 5, 10, 11)),
        ("pipeline", (5, 11)),
        ("embedding", (5, 11)),
    ],
)
def test_a_rank_written_out_has_one_group(axis, group):
    assert MESH.groups(message(axis), [Role(2, 1, 1, 1)]) == [group]


def test_a_send_goes_from_the_first_of_its_pair_to_the_second():
    (group,) = MESH.groups(message("pipeline", (1, 0)), [Role(0, 1, 0, 1)])
    assert group == (6, 0)


def test_a_tied_table_joins_the_first_and_the_last_stage():
    mesh = Mesh(Degrees(tensor=1, data=1, pipeline=4))
    assert mesh.groups(message("embedding"), [Role(0, 0, 0, 1)]) == [(0, 3)]


def test_a_later_job_has_the_devices_after_the_first():
    mesh = Mesh(Degrees(tensor=2, data=2, pipeline=1), first=8)
    assert mesh.groups(message("data"), [Role(0, 0, 0, 4)]) == [(8, 10), (9, 11)]


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
@settings(derandomize=True, deadline=None, max_examples=27, database=None)
def test_folded_groups_are_those_of_all_ranks_once_each(tensor, data, pipeline):
    mesh = Mesh(Degrees(tensor, data, pipeline))
    for axis in ("tensor", "data", "model", "pipeline"):
        for stage in range(pipeline):
            sent = message(axis, (stage, (stage + 1) % pipeline))
            folded = mesh.groups(sent, [Role(0, stage, 0, tensor * data)])
            single = {
                group
                for d in range(data)
                for t in range(tensor)
                for group in mesh.groups(sent, [Role(d, stage, t, 1)])
            }
            assert set(folded) == single
            if axis != "pipeline" or pipeline > 1:
                devices = list(chain.from_iterable(folded))
                assert len(set(devices)) == len(devices)


def test_whole_experts_are_on_devices_in_a_row():
    """Two tensor ranks, four replicas: groups of four hold the experts, twice."""
    degrees = Degrees(tensor=2, data=4, pipeline=1, expert=2, has_whole_experts=True)
    groups = members(degrees.span("expert"), degrees.plane)
    assert groups == [(0, 1, 2, 3), (4, 5, 6, 7)]
    same = members(degrees.span("expert-data"), degrees.plane)
    assert same == [(0, 4), (1, 5), (2, 6), (3, 7)]
