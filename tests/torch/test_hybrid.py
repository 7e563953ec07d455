"""Krizhevsky's hybrid for real: dense layers divided by neurons, in three schemes."""

import pytest

torch = pytest.importorskip("torch")

from small_plans import MLP, Worlds, plan_of  # noqa: E402
from test_splits import ROUNDING  # noqa: E402

from calibration.torch_engine.reference import deviation  # noqa: E402
from calibration.torch_engine.task import ledger_of  # noqa: E402
from simulator import simulate  # noqa: E402

SCHEMES = ["all-at-once", "in-turn", "in-slices"]
ALEXNET = {
    "model": {"name": "alexnet", "image": 63, "thinning": 16},
    "batch": {"global": 16, "micro": 4},
}


@pytest.fixture(scope="module")
def worlds():
    found = Worlds()
    yield found
    found.close()


def hybrid(scheme, match="fc[34]", **changes):
    """A perceptron of four layers, of which the last two are divided by neurons."""
    updates = changes.pop("updates", "once")
    rule = {"match": match, "split": "neurons", "scheme": scheme, "updates": updates}
    return plan_of(MLP, parallelism__layers=[rule], **changes)


def check(worlds, plan):
    reports, right = worlds.trained(plan)
    for report in reports:
        assert set(right) == set(report.learnt)
        assert deviation(report.learnt, right) < ROUNDING
    assert simulate(plan).ledger == ledger_of(reports)
    return reports


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("is_overlapped", [True, False])
def test_two_replicas_learn_the_same(worlds, scheme, is_overlapped):
    check(worlds, hybrid(scheme, synchronization__overlap=is_overlapped))


@pytest.mark.parametrize("scheme", SCHEMES[1:])
def test_weights_that_change_each_portion(worlds, scheme):
    """The reference takes the same portions through one network, one after another."""
    check(worlds, hybrid(scheme, updates="each-portion"))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_four_replicas_learn_the_same(worlds, scheme):
    """Two micro-batches of four samples, so that in slices each replica sends one."""
    changes = {
        "model__widths": [16, 32, 16, 32, 12],
        "batch__micro": 4,
        "batch__global": 32,
        "cluster__devices_per_node": 4,
        "synchronization__bucket": "1 kB",
    }
    updates = "once" if scheme == "all-at-once" else "each-portion"
    check(worlds, hybrid(scheme, "fc[234]", updates=updates, **changes))


def test_alexnet_as_in_the_paper(worlds):
    """Convolutions of an eighth of the maps are replicated, dense layers divided."""
    rule = {"match": "fc*", "split": "neurons", "scheme": "in-turn"}
    changes = {
        "model": {"name": "alexnet", "image": 63, "thinning": 8},
        "batch": {"global": 8, "micro": 4},
        "parallelism": {"layers": [{**rule, "updates": "each-portion"}]},
    }
    check(worlds, plan_of(MLP, **changes))
