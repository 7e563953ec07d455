"""Which links the analytical engine gives to several messages at once."""

import numpy as np
import pytest

from simulator.api import simulate
from simulator.reporting.overbooked import _above_one, overbooked
from simulator.reporting.report import text_report
from tests.laws.small_plans import networked

LARGE = {"hidden": 512, "length": 128}


def test_rates_add_up_while_messages_overlap():
    start, end = np.array([0.0, 2.0, 5.0]), np.array([4.0, 6.0, 7.0])
    # 0.7 + 0.7 from 2 to 4, 0.7 + 0.2 from 5 to 6.
    assert _above_one(start, end, np.array([0.7, 0.7, 0.2])) == (1.4, 2.0)
    assert _above_one(start, end, np.array([0.7, 0.3, 0.7])) == (0.0, 0.0)


def test_a_message_after_another_shares_nothing():
    start, end = np.array([0.0, 1.0]), np.array([1.0, 2.0])
    assert _above_one(start, end, np.ones(2)) == (0.0, 0.0)


@pytest.mark.parametrize("choices", [{"data": 4}, {"pipeline": 4}], ids=str)
def test_alone_nothing_is_overbooked_and_both_engines_agree(choices):
    plan = networked("star", **LARGE, **choices)
    priced = simulate(plan, engine="analytical")
    assert overbooked(priced) is None
    assert simulate(plan).step_time_s == pytest.approx(priced.step_time_s, rel=1e-9)


def test_an_overbooked_link_is_why_the_engines_differ():
    """A stage's sends and its gradients leave by one adapter."""
    choices = {"pipeline": 4, "data": 2, "overlap": True, "microbatches": 2}
    plan = networked("star", **LARGE, **choices, bucket="40 kB", layers=8)
    priced = simulate(plan, engine="analytical")
    link = overbooked(priced)
    assert link is not None
    assert link.demand > 1
    assert simulate(plan).step_time_s > 1.01 * priced.step_time_s
    assert f"what {link.name} carries" in text_report(priced)
    assert "what node" not in text_report(simulate(plan))
