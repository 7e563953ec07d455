"""Timed runs: the simulator's own ops, walked and sent for real."""

import pytest

pytest.importorskip("torch.distributed")

from timed_plans import WIDTH, job_of, needs_emulation

from calibration.torch_engine.errors import UnrunnableError
from calibration.torch_engine.timed.program import expected_bytes, programs
from calibration.torch_engine.timed.running import run_timed
from simulator.results.metrics import ledger

GRADIENTS = 4 * 6 * (WIDTH * WIDTH + WIDTH)  # six layers of fp32, with biases
PIPELINE = {"parallelism": {"pipeline": 3}, "count": 4}
BOTH = {"hosts": 4, "parallelism": {"pipeline": 2}, "count": 2}


def whole(size):
    """Bytes as sent: no part of a byte."""
    return pytest.approx(size, rel=1e-12)


def test_every_op_is_in_the_programs_of_its_ranks():
    job = job_of(**BOTH)
    found = {
        (part.op, program.rank) for program in programs(job) for part in program.parts
    }
    expected = {
        (op, rank) for op, each in enumerate(job.workload.ops) for rank in each.ranks
    }
    assert expected == found


def test_every_send_has_one_receiver():
    job = job_of(**PIPELINE)
    sends = [
        (op, job.located.sent[each.body].message.pair[1])
        for op, each in enumerate(job.workload.ops)
        if each.name.startswith("send")
    ]
    received = [
        (each.op, program.rank)
        for program in programs(job)
        for each in program.receives
    ]
    assert sorted(sends) == sorted(received)
    assert len(sends) == 2 * 2 * 4  # forward and backward, two boundaries


@pytest.mark.parametrize(
    ("algorithm", "copies"),
    # Bytes of all sends in buffers: 2 (n - 1) of any of these, for n = 3, but doubling,
    # where the third rank gives all it has to another, and gets the result from it.
    [("ring", 4), ("tree", 4), ("parameter-server", 4), ("halving-doubling", 4)],
)
def test_expected_bytes_are_those_of_the_algorithm(algorithm, copies):
    job = job_of(synchronization={"algorithm": algorithm})
    assert copies * GRADIENTS == expected_bytes(job)


def test_a_pipeline_sends_activations_there_and_back():
    """Two boundaries, four micro-batches of 64 samples, there and back, and a norm."""
    job = job_of(**PIPELINE)
    boundary, degrees = 4 * 64 * WIDTH, job.plan.parallelism.degrees
    rows = {row.axis: row for row in ledger(job.workload, degrees)}
    assert 2 * 2 * 4 * boundary == rows["pipeline"].bytes
    norm = 2 * 2 * rows["model"].bytes  # a tree of three ranks, up and down
    assert 2 * 2 * 4 * boundary + norm == expected_bytes(job)


def test_a_switch_is_refused():
    with pytest.raises(UnrunnableError, match="a graph, not a switch"):
        programs(job_of(topology="switch"))


@needs_emulation
@pytest.mark.parametrize(
    "keys",
    [
        {"synchronization": {"algorithm": "tree", "overlap": False}},
        {"topology": "star", "synchronization": {"algorithm": "parameter-server"}},
        {"topology": "wheel", "hosts": 4, "synchronization": {"bucket": "20 kB"}},
        PIPELINE,
        BOTH,
        {"hosts": 4, "parallelism": {"tensor": 2}},
    ],
    ids=["tree", "server", "buckets", "pipeline", "both", "tensor"],
)
def test_what_is_sent_is_what_the_table_says_and_sums_are_right(keys):
    """A wrong sum, or a send that brings something else, is an error of the run."""
    job = job_of(**keys)
    run = run_timed(job, repeats=1)
    assert whole(expected_bytes(job)) == run.wire_bytes
    assert ledger(job.workload, job.plan.parallelism.degrees) == run.ledger
    (step,) = run.step_times
    assert step == max(span.end for span in run.timeline.spans)
    assert len(run.timeline.spans) == sum(len(op.ranks) for op in job.workload.ops)


@needs_emulation
def test_ops_run_in_the_order_of_the_workload():
    job = job_of(**BOTH)
    run = run_timed(job, repeats=1)
    ends = {(id(span.op), span.rank): span.end for span in run.timeline.spans}
    last = {}
    for span in run.timeline.spans:
        before = [ends.get((id(job.workload.ops[k]), span.rank)) for k in span.op.after]
        before.append(last.get((span.rank, span.stream)))
        assert all(end <= span.start for end in before if end is not None)
        assert span.start <= span.end
        last[span.rank, span.stream] = span.end
