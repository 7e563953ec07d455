"""Bodies priced kernel by kernel, on a machine with round numbers."""

from dataclasses import replace

import pytest

from models.work import matrix_work, memory_work
from simulator.job import prepare
from simulator.pricing.price import Price
from simulator.workload import Body, HostTask, Message, Repeat
from tests.laws.small_plans import plan
from topologies.profile_file import UNITS


@pytest.fixture(scope="module")
def pricer():
    """Kernels start in 1 s, are issued in 2 s forward and 4 s backward; 1 B/s."""
    job = prepare(plan(tensor=2, data=2))
    fit = replace(
        job.profile.links["nvlink-3"], efficiency=1.0, start=8.0, hop=1.0, transfer=16.0
    )
    profile = replace(
        job.profile,
        **{name: 1.0 for name in UNITS if name.endswith("_efficiency")},
        kernel_time=1.0,
        host_forward=2.0,
        host_backward=4.0,
        host_message=0.5,
        host_pass=32.0,
        host_step=64.0,
        links={"nvlink-3": fit},
    )
    device = replace(job.cluster.device, memory_bandwidth=1.0, num_units=1)
    fabric = replace(job.cluster.fabric, bandwidth=1.0)
    cluster = replace(job.cluster, device=device, fabric=fabric)
    return replace(job.pricer, cluster=cluster, profile=profile, peak=1e30)


COPY = memory_work("copy", 10.0)


def test_a_kernel_takes_its_start_and_its_bytes(pricer):
    assert pricer.item(COPY, "forward") == Price(11.0, 13.0, 2.0, 11.0, 0.0)
    assert pricer.item(COPY, "backward").host == 4.0


def test_launches_are_paid_one_by_one(pricer):
    several = replace(COPY, launches=3)
    assert pricer.item(several, "forward").busy == 3 * 1.0 + 10.0
    assert pricer.item(several, "forward").host == 3 * 2.0


def test_a_matrix_product_cannot_beat_the_memory(pricer):
    work = matrix_work("product", rows=4, columns=4, inner=4, batch=1, element=1)
    # 3 matrices of 16 numbers of a byte; arithmetic takes next to nothing.
    assert pricer.item(work, "forward").busy == pytest.approx(1 + 3 * 16)


def test_a_matrix_product_cannot_beat_the_peak(pricer):
    slow = replace(pricer, peak=2.0)
    work = matrix_work("product", rows=64, columns=64, inner=64, batch=1, element=1)
    assert slow.item(work, "forward").busy >= 1 + work.flop / 2.0


def test_a_collective_takes_start_steps_and_bytes(pricer):
    # Two ranks: 2 (n - 1) = 2 steps, half of the message each.
    reduce = Message("sum", "all-reduce", "tensor", 10.0)
    assert pricer.item(reduce, "forward").busy == 8 + 2 * 1 + 10
    gather = Message("gather", "all-gather", "tensor", 10.0)
    assert pricer.item(gather, "forward").busy == 8 + 1 + 5
    assert pricer.item(gather, "forward").host == 0.5
    assert pricer.item(gather, "forward").communication == 8 + 1 + 5


def test_a_group_of_one_sends_nothing(pricer):
    for axis in ("pipeline", "embedding"):
        price = pricer.item(Message("none", "all-reduce", axis, 10.0), "forward")
        assert price == Price(0.0, 0.0, 0.0, 0.0, 0.0)


def test_what_the_host_does_alone_delays_what_follows(pricer):
    body = Body("pass", "forward", (HostTask("batch", "pass"), COPY))
    assert pricer.body(body) == Price(11.0, 32 + 2 + 11, 34.0, 11.0, 0.0)
    assert pricer.item(HostTask("step", "step"), "step").host == 64.0


def test_repetitions_cost_what_they_are_written_out(pricer):
    message = Message("sum", "all-reduce", "data", 10.0)
    repeated = pricer.items([Repeat((COPY, message), 3)], "backward")
    written = pricer.items([COPY, message] * 3, "backward")
    assert repeated == written


def test_a_recomputed_forward_is_issued_as_a_forward(pricer):
    again = Repeat((COPY,), 1, "forward")
    assert pricer.item(again, "backward").host == 2.0
    assert pricer.item(Repeat((COPY,), 1), "backward").host == 4.0


def test_a_host_that_waits_for_kernels_issues_nothing_ahead(pricer):
    waiting = replace(pricer, profile=replace(pricer.profile, is_blocking=True))
    # Issued in 2 s, runs 11 s, twice; then a message of 15 s, issued in 0.5 s.
    gather = Message("gather", "all-gather", "tensor", 10.0)
    price = waiting.items([COPY, COPY, gather], "forward")
    assert price.host == 2 * (2 + 11) + 0.5 + (8 + 1 + 5)
    assert price.issued == price.host
    assert price.busy == pricer.items([COPY, COPY, gather], "forward").busy


def test_transfers_between_passes_are_not_waited_for_twice(pricer):
    waiting = replace(pricer, profile=replace(pricer.profile, is_blocking=True))
    send = Message("send", "send", "pipeline", 10.0)
    assert waiting.item(send, "message") == pricer.item(send, "message")


def test_heads_that_are_no_multiple_of_eight_run_without_tensor_cores(pricer):
    peaks = {"fp32": 3.0}
    device = replace(pricer.cluster.device, peak=peaks)
    slow = replace(pricer, cluster=replace(pricer.cluster, device=device), peak=48.0)

    def time(width, batch):
        work = matrix_work(
            "scores", rows=256, columns=256, inner=width, batch=batch, element=0
        )
        return slow.item(work, "forward").busy - 1

    assert time(112, 2) == 2 * 256 * 256 * 112 * 2 / 48.0
    assert time(108, 2) == 2 * 256 * 256 * 108 * 2 / 3.0
    assert time(108, 1) == 2 * 256 * 256 * 108 / 48.0
