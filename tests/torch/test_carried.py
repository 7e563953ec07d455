"""Gradients summed by the plan's own algorithm: the same is learnt, the same counted.

On a graph sums between replicas are the sends that the simulator prices, in the order
of its rings; no network is emulated here, as nobody sends anything else on one.
"""

import pytest

torch = pytest.importorskip("torch")

from small_plans import MLP, Worlds, plan_of  # noqa: E402

from calibration.torch_engine.reference import deviation  # noqa: E402
from calibration.torch_engine.task import ledger_of, sums_of  # noqa: E402
from simulator import simulate  # noqa: E402
from simulator.job import prepare  # noqa: E402

ROUNDING = 5e-6  # as of all splits: fp32, summed in other orders
GRADIENTS = 4 * (16 * 32 + 32 + 2 * (32 * 32 + 32) + 32 * 10 + 10)


def on_ring(**changes):
    """A perceptron on a ring of four hosts."""
    graph = {"topology": "ring", "link": "ethernet-1", "multipath": "one"}
    network = {f"cluster__network__{key}": value for key, value in graph.items()}
    hosts = {"cluster__nodes": 4, "cluster__devices_per_node": 1, **network}
    return plan_of(MLP, **hosts, **changes)


@pytest.fixture(scope="module")
def worlds():
    found = Worlds()
    yield found
    found.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithm": "ring", "ring_order": [0, 2, 1, 3], "overlap": False},
        {"algorithm": "tree", "bucket": "4 kB"},
        {"algorithm": "halving-doubling", "bucket": "4 kB"},
        {"algorithm": "parameter-server", "overlap": False},
    ],
    ids=lambda changes: changes["algorithm"],
)
def test_any_algorithm_learns_the_same(worlds, changes):
    plan = on_ring(**{f"synchronization__{k}": each for k, each in changes.items()})
    reports, right = worlds.trained(plan)
    for report in reports:
        assert deviation(report.learnt, right) < ROUNDING
    (row,) = ledger_of(reports)
    assert (row.op, row.axis, row.bytes) == ("all-reduce", "data", GRADIENTS)
    assert simulate(plan).ledger == (row,)


def test_pipelines_side_by_side_sum_each_stage(worlds):
    changes = {"synchronization__algorithm": "tree", "parallelism__pipeline": 2}
    plan = on_ring(**changes)
    reports, right = worlds.trained(plan)
    assert all(deviation(report.learnt, right) < ROUNDING for report in reports)
    assert simulate(plan).ledger == ledger_of(reports)


def test_sums_are_carried_in_the_plan_s_order():
    order = [0, 2, 1, 3]
    plan = on_ring(
        synchronization__algorithm="ring",
        synchronization__ring_order=order,
        synchronization__overlap=False,
    )
    (way,) = sums_of(prepare(plan))
    assert (way.algorithm, way.size) == ("ring", GRADIENTS)
    assert tuple(order) in way.groups


def test_a_switch_leaves_sums_to_torch():
    assert not list(sums_of(prepare(plan_of(MLP))))
