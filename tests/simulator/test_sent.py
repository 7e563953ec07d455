"""Messages as ops of their own: each at its place, nothing lost or priced twice."""

import pytest
from hypothesis import given, settings

from simulator.job import prepare
from simulator.lowering.lower import lower
from simulator.lowering.sent import written_out
from simulator.lowering.staged import lower_stages
from simulator.lowering.unfold import unfold
from simulator.mesh import Degrees
from simulator.results.metrics import ledger
from simulator.workload import Beside, Message, flatten
from tests.laws.small_plans import meshes, networked, plan

laws = settings(derandomize=True, deadline=None, max_examples=20, database=None)


def lowered(given_plan):
    return lower(given_plan, lower_stages(given_plan, given_plan.build_model()))


def messages_in(body):
    found = [item for item, _ in flatten(body.items, body.phase)]
    found = [item.message if isinstance(item, Beside) else item for item in found]
    return [item for item in found if isinstance(item, Message)]


@given(meshes())
@laws
def test_every_message_is_an_op_of_its_own(choices):
    whole = lowered(networked("star", **choices))
    split, sent = written_out(whole, inline=())
    for op in split.ops:
        inside = messages_in(op.body)
        assert len(op.body.items) == 1 or not inside
        assert ([sent[op.body].message] if inside else []) == inside
        if inside:
            roles = tuple(split.roles[rank] for rank in op.ranks)
            assert roles == sent[op.body].roles
    mesh = Degrees(choices["tensor"], choices["data"], choices["pipeline"])
    assert ledger(split, mesh) == ledger(whole, mesh)


@given(meshes())
@laws
def test_messages_of_inline_axes_stay_between_kernels(choices):
    split, sent = written_out(lowered(networked("star", **choices)), ("tensor",))
    assert "tensor" not in {each.message.axis for each in sent.values()}
    mesh = Degrees(choices["tensor"], choices["data"], choices["pipeline"])
    whole = lowered(networked("star", **choices))
    assert ledger(split, mesh) == ledger(whole, mesh)


def test_equal_layers_share_a_body_and_places_do_not():
    """Of 4 stages of 8 equal blocks the kernels are those of one; messages differ.

    So many bodies do not grow with micro-batches, and sends between other stages
    have other links.
    """
    small = {"pipeline": 4, "layers": 32, "microbatches": 2}
    _, few = written_out(lowered(networked("star", **small)), ())
    _, many = written_out(lowered(networked("star", **small | {"microbatches": 8})), ())
    assert len(few) == len(many)
    pairs = [each.message.pair for each in few.values() if each.message.axis != "model"]
    assert {(0, 1), (1, 2), (2, 3), (1, 0), (2, 1), (3, 2)} <= set(pairs)


def test_ranks_written_out_keep_their_place_on_the_mesh():
    """Else all replicas would send over the links of the first."""
    given_plan = plan(tensor=2, pipeline=2, data=3)
    unfolded = unfold(lowered(given_plan), Degrees(2, 3, 1))
    split, sent = written_out(unfolded, ())
    assert split.roles == unfolded.roles
    places = {
        (role.data, role.pipeline, role.tensor)
        for each in sent.values()
        for role in each.roles
    }
    assert len(places) == given_plan.world_size


@pytest.mark.parametrize("is_folded", [True, False])
def test_a_job_has_traffic_for_every_message_between_nodes(is_folded):
    job = prepare(networked("ring", tensor=2, pipeline=2, data=2), is_folded=is_folded)
    assert job.located is not None
    sends = [op for op in job.workload.ops if messages_in(op.body)]
    assert sends
    assert all(op.body in job.located.traffic for op in sends)


def test_messages_inside_plain_nodes_share_no_link():
    choices = {"tensor": 2, "data": 2, "per_node": 2}
    job = prepare(networked("star", **choices))
    assert job.located is not None
    axes = {
        message.axis for body in job.located.traffic for message in messages_in(body)
    }
    assert axes == {"data"}
