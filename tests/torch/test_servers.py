"""Parameter servers for real: what is learnt, what is sent, and who is missed."""

import os
import signal
from functools import partial

import pytest

torch = pytest.importorskip("torch")

from small_plans import GPT, MLP, Worlds, plan_of  # noqa: E402

from calibration.modules import Part, build  # noqa: E402
from calibration.torch_engine import training  # noqa: E402
from calibration.torch_engine.errors import RankError  # noqa: E402
from calibration.torch_engine.reference import deviation  # noqa: E402
from calibration.torch_engine.seats import host_seats, seats  # noqa: E402
from calibration.torch_engine.serving.pieces import owners_of  # noqa: E402
from calibration.torch_engine.serving.places import (  # noqa: E402
    num_processes,
    places_of,
)
from calibration.torch_engine.task import assign, ledger_of  # noqa: E402
from calibration.torch_engine.world import World  # noqa: E402
from simulator import simulate  # noqa: E402
from simulator.job import prepare  # noqa: E402
from simulator.pricing.servers import busy_servers, variables  # noqa: E402

ROUNDING = 5e-6  # as in test_splits
SERVED = {"synchronization__scheme": "parameter-server"}
NODES = {
    "cluster__nodes": 2,
    "cluster__devices_per_node": 1,
    "cluster__network": {"link": "ethernet-10"},
}

CASES = {
    "one host": (GPT, {"synchronization__bucket": "20 kB"}, 3),
    "one device and its host": (MLP, {"cluster__devices_per_node": 1}, 2),
    "at the end": (MLP, {"synchronization__overlap": False}, 3),
    "pulled layer by layer": (
        GPT,
        {
            "synchronization__pull": "before-use",
            "synchronization__bucket": "20 kB",
        },
        3,
    ),
    "pulled before the forward": (MLP, {"synchronization__pull": "before-forward"}, 3),
    "two nodes": (MLP, {**NODES, "synchronization__bucket": "4 kB"}, 4),
    "two nodes, one of them serves whole variables": (
        MLP,
        {
            **NODES,
            "synchronization__servers": 1,
            "synchronization__whole_variables": True,
        },
        4,
    ),
    "whole variables on two nodes, pulled first": (
        MLP,
        {
            **NODES,
            "synchronization__whole_variables": True,
            "synchronization__pull": "before-use",
            "synchronization__bucket": "4 kB",
        },
        4,
    ),
    "devices add": (
        GPT,
        {"synchronization__sum_on": "device", "synchronization__bucket": "20 kB"},
        2,
    ),
    "three devices add, pulled first": (
        MLP,
        {
            "batch__global": 18,
            "cluster__devices_per_node": 3,
            "synchronization__sum_on": "device",
            "synchronization__pull": "before-use",
            "synchronization__bucket": "4 kB",
        },
        3,
    ),
    "devices of two nodes add": (
        MLP,
        {
            **NODES,
            "cluster__devices_per_node": 2,
            "synchronization__sum_on": "device",
            "synchronization__servers": 1,
            "synchronization__bucket": "4 kB",
        },
        5,
    ),
}


@pytest.fixture(scope="module")
def worlds():
    found = Worlds()
    yield found
    found.close()


def served(text, **changes):
    return plan_of(text, **SERVED, **changes)


@pytest.mark.parametrize("case", CASES)
def test_servers_teach_the_same_and_send_what_is_predicted(worlds, case):
    text, changes, processes = CASES[case]
    plan = served(text, **changes)
    assert num_processes(plan) == processes
    reports, right = worlds.trained(plan)
    for report in reports[: plan.world_size]:
        assert set(right) - set(report.learnt) <= {"layers.5.logits.weight"}
        assert deviation(report.learnt, right) < ROUNDING
    assert simulate(plan).ledger == ledger_of(reports)


def carried(reports):
    return sum(report.carried for report in reports)


def test_every_copy_on_the_way_to_a_server_is_counted_by_hand(worlds):
    """Of S = 11 944 bytes, pushed and pulled:

    one node of two devices: 2 S to the host and back, 4 S together;
    two nodes of one device and a server each: 2 S to hosts, of whose sums half is the
    other server's, 2 (S / 2), and the same back: 2 (2 + 1) S;
    two devices that add: each sends what the other keeps, S together, and back: 2 S;
    of those two on each of two nodes with one server: 2 S inside nodes, S from each
    node to the server, and back: 2 (2 + 2) S.
    """
    size = 2986 * 4
    on_devices = {"synchronization__sum_on": "device"}
    ways = [
        ({}, 4),
        (NODES, 6),
        (on_devices, 2),
        (
            {
                **NODES,
                **on_devices,
                "cluster__devices_per_node": 2,
                "synchronization__servers": 1,
            },
            8,
        ),
    ]
    for changes, copies in ways:
        reports, _ = worlds.trained(served(MLP, **changes))
        assert copies * size == carried(reports)


def test_parameters_come_back_in_the_format_of_compute():
    """2986 gradients of fp32 are pushed, and as many parameters of fp16 pulled."""
    plan = served(MLP, training__precision="fp16", training__gradient_precision="fp32")
    for overlap in (True, False):
        rows = simulate(plan.replace({"synchronization.overlap": overlap})).ledger
        sent = {row.op: row.bytes for row in rows}
        assert sent == {"pull": 2 * 2986, "push": 4 * 2986}


@pytest.mark.parametrize("text", [MLP, GPT])
def test_variables_are_kept_where_the_simulator_says(text):
    model = plan_of(text).build_model()
    network = build(model)
    part = Part(network, range(len(network.layers)))
    tensors = list(part.parameters())
    owners = owners_of(part, {id(each): k for k, each in enumerate(tensors)}, 3)
    loads = [0] * 3
    for tensor, owner in zip(tensors, owners, strict=True):
        loads[owner] += tensor.numel()
    assert busy_servers(variables(model), 3) == pytest.approx(sum(loads) / max(loads))


def _killed_host(member, task):
    if member.rank == task.plan.world_size + 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return training.train(task, member)


def test_a_dead_host_is_named():
    plan = served(MLP, **NODES)
    task = assign(prepare(plan))
    places = (*seats(plan.world_size), *host_seats(places_of(plan).hosts))
    with (
        World(places) as world,
        pytest.raises(RankError, match=r"rank 3 \(host of node 1\): was killed by"),
    ):
        world.run(partial(_killed_host, task=task))
