"""Plans that state the measured step of one device: kernels add up to it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import simulate
from simulator.errors import PlanError
from simulator.plan import Plan
from simulator.pricing.pacing import priced_step

TABLES = {
    "model": {"name": "resnet18"},
    "batch": {"global": 32, "micro": 32},
    "training": {"precision": "fp32", "optimizer": "sgd"},
    "device_step": {"time": "200 ms"},
    "cluster": {"device": "k80"},
}
FOUR = {
    "batch.global": 128,
    "cluster.devices_per_node": 4,
    "cluster.fabric": "pcie-3-x16",
}


def plan(**changes):
    return Plan.from_mapping(TABLES, changes)


@settings(max_examples=10, deadline=None)
@given(st.integers(10, 2000))
def test_one_device_takes_what_was_measured(milliseconds):
    own = plan(**{"device_step.time": f"{milliseconds} ms"})
    assert simulate(own).step_time_s == pytest.approx(milliseconds / 1000, rel=1e-9)


def test_layers_keep_their_shares():
    free = Plan.from_mapping({k: v for k, v in TABLES.items() if k != "device_step"})
    one, two = simulate(plan()).job, simulate(free).job
    pace = 0.2 / priced_step(free, two.pricer)
    for kind in ("F", "B"):
        mine = one.prices[one.stages[0].bodies[kind]].busy
        priced = two.prices[two.stages[0].bodies[kind]].busy
        assert mine == pytest.approx(pace * priced, rel=1e-9)


def test_more_devices_add_only_what_they_send():
    alone = simulate(plan(**FOUR)).breakdown
    crowded = simulate(plan(**FOUR, **{"device_step.crowding": "1.1"})).breakdown
    assert alone.compute_s == pytest.approx(0.2, rel=1e-9)
    assert crowded.compute_s == pytest.approx(0.22, rel=1e-9)


def test_one_device_is_not_crowded():
    own = plan(**{"device_step.crowding": "1.1"})
    assert simulate(own).step_time_s == pytest.approx(0.2, rel=1e-9)


def test_a_step_is_measured_whole_or_by_stage():
    times = {f"stage_times.{key}": "1 s" for key in ("forward", "transfer")}
    times |= {f"stage_times.backward_{key}": "1 s" for key in ("input", "weight")}
    with pytest.raises(PlanError, match="both say how long"):
        plan(**times)
