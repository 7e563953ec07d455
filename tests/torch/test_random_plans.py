"""Plans drawn at random: those that found something, and one of many axes."""

import pytest

torch = pytest.importorskip("torch")

from random_plans import draw  # noqa: E402
from small_plans import Worlds  # noqa: E402

from calibration.torch_engine.reference import deviation  # noqa: E402
from calibration.torch_engine.refusals import refuse  # noqa: E402
from calibration.torch_engine.task import ledger_of  # noqa: E402
from simulator import simulate  # noqa: E402

# As of the splits, and four times that: some have more sums, in yet other orders.
ROUNDING = 2e-5
TELLING = {
    118: "tensor ranks, whose mesh was taken for that of the next plan",
    132: "experts, tokens and states divided among the same four ranks",
    302: "ZeRO-1 beside experts that one rank has alone",
    309: "the copy of a tied table, whose rows three ranks do not divide",
    326: "all axes at once: tensor, context, interleaved stages that stay gathered",
}


@pytest.fixture(scope="module")
def worlds():
    found = Worlds()
    yield found
    found.close()


@pytest.mark.parametrize("seed", TELLING)
def test_a_random_plan_learns_the_same_and_sends_what_is_predicted(worlds, seed):
    plan = draw(seed)
    refuse(plan)
    reports, right = worlds.trained(plan)
    assert max(deviation(each.learnt, right) for each in reports) < ROUNDING
    assert simulate(plan).ledger == ledger_of(reports)
