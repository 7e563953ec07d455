"""Unfolding a hand-sized workload: who takes part in what."""

from models.work import memory_work
from simulator.lowering.unfold import unfold
from simulator.mesh import Degrees
from simulator.workload import Body, Message, Op, Repeat, Role, Workload

KERNEL = memory_work("kernel", 1.0)
FOLDED = (Role(0, 0, 0, 4), Role(0, 1, 0, 4))


def sum_over(axis):
    return Message(f"{axis} sum", "all-reduce", axis, 8.0)


def unfolded(*ops):
    return unfold(Workload(FOLDED, ops), Degrees(tensor=2, data=2, pipeline=2))


def one_op(*items, ranks=(0,), host_waits=False):
    body = Body("body", "forward", items)
    op = Op("op", ranks, "compute", body, (), host_waits)
    return unfolded(op).ops


def test_roles_are_numbered_by_stage_replica_and_tensor_rank():
    roles = unfolded().roles
    assert roles == tuple(
        Role(data, pipeline, tensor, 1)
        for pipeline in range(2)
        for data in range(2)
        for tensor in range(2)
    )


def test_kernels_are_run_by_every_rank_for_itself():
    assert [op.ranks for op in one_op(KERNEL)] == [(0,), (1,), (2,), (3,)]
    assert [op.ranks for op in one_op(KERNEL, ranks=(1,))] == [(4,), (5,), (6,), (7,)]


def test_messages_join_the_ranks_of_their_axis():
    ranks = {
        axis: [op.ranks for op in one_op(sum_over(axis))]
        for axis in ("tensor", "data", "model")
    }
    assert ranks["tensor"] == [(0, 1), (2, 3)]
    assert ranks["data"] == [(0, 2), (1, 3)]
    assert ranks["model"] == [(0, 1), (2, 3)]


def test_what_joins_stages_joins_the_same_replica_of_both():
    both = (0, 1)
    assert [op.ranks for op in one_op(sum_over("embedding"), ranks=both)] == [
        (0, 4),
        (1, 5),
        (2, 6),
        (3, 7),
    ]
    assert [op.ranks for op in one_op(sum_over("model"), ranks=both)] == [
        (0, 1, 4, 5),
        (2, 3, 6, 7),
    ]


def test_a_body_is_cut_at_its_messages():
    ops = one_op(KERNEL, KERNEL, sum_over("tensor"), KERNEL, host_waits=True)
    assert [len(op.ranks) for op in ops] == [1, 1, 1, 1, 2, 2, 1, 1, 1, 1]
    # Only where the body began did its host wait.
    assert [op.host_waits for op in ops] == [True] * 4 + [False] * 6
    # A message waits for the kernels of all its ranks, and they for it.
    assert ops[4].after == (0, 1)
    assert ops[8].after == (5,)


def test_repetitions_are_written_out():
    ops = one_op(Repeat((KERNEL, sum_over("tensor")), 3))
    assert [len(op.ranks) for op in ops] == [1, 1, 1, 1, 2, 2] * 3


def test_ops_of_the_same_body_share_the_pieces():
    body = Body("body", "forward", (KERNEL, sum_over("tensor")))
    first = Op("first", (0,), "compute", body, (), host_waits=False)
    second = Op("second", (1,), "compute", body, (0,), host_waits=False)
    ops = unfolded(first, second).ops
    assert len({op.body for op in ops}) == 2
    # What the second op waits for is the end of the first, on the same replica.
    assert [op.after for op in ops[6:10]] == [(4,), (4,), (5,), (5,)]


def test_a_recomputed_forward_keeps_its_phase():
    body = Body("body", "backward", (Repeat((KERNEL,), 1, "forward"), KERNEL))
    op = Op("op", (0,), "compute", body, (), host_waits=False)
    phases = [piece.body.phase for piece in unfolded(op).ops]
    assert phases == ["forward"] * 4 + ["backward"] * 4


def test_an_empty_body_stays():
    assert [op.body.items for op in one_op()] == [()] * 4
