"""One training step as ops: what is emitted, and what waits for what."""

import pytest
from hypothesis import given, settings

from simulator.job import prepare
from simulator.workload import Message, flatten
from tests.laws.small_plans import plan, plans


def ops_of(**choices):
    return prepare(plan(**choices)).workload.ops


def names(ops):
    return [op.name for op in ops]


def messages(op):
    leaves = (item for item, _ in flatten(op.body.items, op.body.phase))
    return [item for item in leaves if isinstance(item, Message)]


def test_one_device_on_paper():
    ops = ops_of(microbatches=2)
    assert names(ops) == [
        *("0F0", "0B0", "0F1", "0B1"),
        *("gradients", "gradient norm", "optimizer"),
    ]


def test_two_stages_on_paper():
    ops = ops_of(pipeline=2, microbatches=1)
    assert names(ops) == [
        *("0F0", "send 0F0", "0B0", "gradients"),
        *("1F0", "1B0", "send 1B0", "gradients"),
        *("tied embedding", "gradient norm", "optimizer", "optimizer"),
    ]
    by_name = {op.name: op for op in ops}
    after = {name: names(ops[i] for i in op.after) for name, op in by_name.items()}
    assert after["send 0F0"] == ["0F0"]
    assert after["1F0"] == ["send 0F0"]
    assert after["send 1B0"] == ["1B0"]
    # The gradient of the next stage, and its own send, which is synchronous.
    assert after["0B0"] == ["send 1B0", "send 0F0"]
    assert after["tied embedding"] == ["gradients", "gradients"]
    assert after["gradient norm"] == ["gradients", "gradients", "tied embedding"]
    assert after["optimizer"] == ["gradient norm"]


def test_a_backward_of_ddp_hands_gradients_on_when_its_sums_are_there():
    """Torch's alone, and none of its backwards in two parts."""
    choices = {"pipeline": 2, "data": 2, "overlap": True, "layers": 4}
    for framework, schedule, is_within in (
        ("torch", "1f1b", True),
        ("torch", "zb-h1", False),
        ("megatron", "1f1b", False),
    ):
        written = plan(**choices, schedule=schedule)
        job = prepare(written.replace({"training.framework": framework}))
        ops = job.workload.ops
        sends = [op for op in ops if op.name.startswith("send 1")]
        sums = {k for k, op in enumerate(ops) if op.name.startswith("bucket")}
        assert sums
        waiting = [bool(sums & set(op.after)) for op in sends]
        assert waiting == [False] * (len(sends) - 1) + [is_within]


def test_the_optimizer_waits_for_all_gradients():
    ops = ops_of(pipeline=4, data=2, microbatches=4)
    norm = next(op for op in ops if op.name == "gradient norm")
    assert norm.ranks == (0, 1, 2, 3)
    assert names(ops)[-4:] == ["optimizer"] * 4


@given(plans())
@settings(derandomize=True, deadline=None, max_examples=60)
def test_every_rank_runs_its_row_in_order(small):
    job = prepare(small)
    ops = job.workload.ops
    for rank, row in enumerate(job.rows):
        mine = [op for op in ops if op.ranks == (rank,) and op.stream == "compute"]
        ran = [op.name for op in mine if op.name[0].isdigit()]
        # A backward in buckets is several ops of one name.
        merged = [n for i, n in enumerate(ran) if i == 0 or n != ran[i - 1]]
        assert merged == [str(action) for action in row]


@given(plans())
@settings(derandomize=True, deadline=None, max_examples=60)
def test_ops_that_do_the_same_share_a_body(small):
    ops = prepare(small).workload.ops
    of_name = {}
    for op in ops:
        if op.name[0].isdigit() and "B" not in op.name:
            stage = op.name.partition("F")[0]
            assert of_name.setdefault(stage, op.body) is op.body


def test_buckets_close_with_the_layer_that_fills_them():
    # Gradients in fp16, in their order: head 256 bytes, four blocks of 2 (12 h² + 13 h)
    # = 99,968 each, embedding 135,168. 40 kB closes with head and block, and then with
    # every layer; 150 kB with head and two blocks, two blocks, embedding; 1 GB never.
    for bucket, count in (("40 kB", 5), ("150 kB", 3), ("1 GB", 1)):
        ops = ops_of(data=2, layers=4, overlap=True, bucket=bucket, vocabulary=1024)
        buckets = [op for op in ops if op.name.startswith("bucket")]
        assert len(buckets) == count
        assert {op.stream for op in buckets} == {"data"}


@pytest.mark.parametrize("bucket", ["1 kB", "100 kB", "1 GB"])
def test_buckets_hold_every_gradient_once(bucket):
    job = prepare(plan(data=2, pipeline=2, layers=4, overlap=True, bucket=bucket))
    sizes = [0.0, 0.0]
    for op in job.workload.ops:
        if op.name.startswith("bucket"):
            sizes[op.ranks[0]] += sum(message.size for message in messages(op))
    assert sizes == [stage.gradient_bytes for stage in job.stages]


def test_a_bucket_goes_out_while_backward_goes_on():
    ops = ops_of(data=2, layers=4, overlap=True, bucket="1 kB")
    last = [i for i, op in enumerate(ops) if op.name == "0B1"]
    buckets = [op for op in ops if op.name.startswith("bucket")]
    assert [op.after for op in buckets] == [(i,) for i in last]
    assert len(buckets) > 1


def test_without_overlap_gradients_go_out_at_the_end():
    ops = ops_of(data=2, layers=4)
    gradients = next(op for op in ops if op.name == "gradients")
    assert [message.axis for message in messages(gradients)] == ["data"]
    assert names(ops[i] for i in gradients.after) == ["0B1"]


def test_hosts_wait_at_both_ends_of_transfers():
    passes = [op for op in ops_of(pipeline=2) if op.name[0].isdigit()]
    assert all(op.host_waits for op in passes)


def test_without_a_pipeline_the_host_waits_once_a_microbatch():
    passes = [op for op in ops_of(microbatches=3) if op.name[0].isdigit()]
    assert [op.host_waits for op in passes] == [True, False] * 3


def test_roles_stand_for_tensor_and_data_ranks():
    roles = prepare(plan(tensor=2, pipeline=3, data=4)).workload.roles
    assert [role.pipeline for role in roles] == [0, 1, 2]
    assert [role.multiplicity for role in roles] == [8, 8, 8]
