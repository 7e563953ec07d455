"""What tensor ranks send to the next stage: each its part, or each all of it."""

import pytest

from simulator.api import simulate
from simulator.job import prepare
from tests.laws.small_plans import plan, step_time

T, M = 4, 3
WHOLE = 32 * 64 * 2  # tokens, width, bytes of fp16
BOTH = pytest.mark.parametrize("engine", ["analytical", "event"])


def pipelined(scatter_sends=None, **changes):
    choice = {} if scatter_sends is None else {"scatter_sends": scatter_sends}
    small = plan(tensor=T, pipeline=2, microbatches=M, per_node=T)
    choices = {f"parallelism.{key}": value for key, value in choice.items()}
    return small.replace(choices | changes)


def sent(small, engine="analytical"):
    """The ledger as {(pattern, axis): (bytes, count)}."""
    rows = simulate(small, engine=engine).ledger
    return {(row.op, row.axis): (row.bytes, row.count) for row in rows}


@BOTH
def test_whole_activations_are_t_times_the_bytes_and_are_not_gathered(engine):
    """Each of t ranks sends S there and back in each of m micro-batches, 2 m t S, or a
    t-th of that, and then the ranks of the receiver gather S each time.
    """
    parts, whole = sent(pipelined(True), engine), sent(pipelined(False), engine)
    assert parts.pop(("send", "pipeline")) == (2 * M * WHOLE, 2 * M * T)
    assert whole.pop(("send", "pipeline")) == (2 * M * T * WHOLE, 2 * M * T)
    assert parts.pop(("all-gather", "tensor")) == (2 * M * WHOLE, 2 * M)
    assert parts == whole


def test_megatron_sends_parts_and_torch_whole_activations():
    assert sent(pipelined()) == sent(pipelined(True))
    torch = {"training.framework": "torch"}
    assert sent(pipelined(**torch)) == sent(pipelined(False, **torch))


def test_ranks_that_share_an_adapter_send_parts_faster():
    """Two megabytes a rank over the one adapter of a node, t times as many as parts."""
    wide = {"model.hidden": 2048, "model.sequence_length": 512}
    parts, whole = (prepare(pipelined(each, **wide)) for each in (True, False))
    assert step_time(parts) < step_time(whole)
