"""Whatever stands in a plan file, the answer is a plan or a `PlanError`."""

import contextlib
import datetime as dt
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.errors import PlanError
from simulator.plan import Plan
from simulator.plans.records import SECTIONS, keys_in, plan_keys

PLANS = Path(__file__).parents[2] / "plans"
TEXTS = [path.read_text(encoding="utf-8") for path in sorted(PLANS.glob("*.toml"))]
VALUES = [
    *(0, -1, 1, 3, 2**31, 2**63, 10**400, -(10**400), 1.0, 2.5, 1e30, 1e-300),
    *(float("nan"), float("inf"), float("-inf"), True, False, "", " ", "x", "4"),
    *("\x00", "nan", "inf", "1e999 B", "1e-999 s", "5 us", "25 MB", "1 GB/s"),
    *("< 1 s", "<", "> nan", "\u202e", "x" * 100_000, "9" * 5000 + " MB"),
    *([], [1], [[]], [{}], {}, {"a": 1}, {"link": 3}, None),
    *(dt.date(2026, 1, 1), dt.time(1), dt.datetime(2026, 1, 1)),  # noqa: DTZ001 - as TOML gives it
]


@pytest.mark.parametrize("key", [*plan_keys(), *SECTIONS, "x", "x.y", "", ".", "a..b"])
def test_any_value_at_any_key_is_a_plan_or_its_faults(key):
    for value in VALUES:
        for plan in (PLANS / "gpt-175b-512gpu.toml", PLANS / "mlp-1gpu-small.toml"):
            loaded = Plan.load(plan)
            faults, changed, text = (), None, ""
            try:
                changed = loaded.replace({key: value})
            except PlanError as error:
                faults, text = error.faults, str(error)
            if changed is None:
                assert faults
                assert all(fault.problem for fault in faults)
                assert len(text) < 5000
            else:
                assert changed.world_size == changed.cluster.num_devices
                assert changed.num_microbatches >= 1


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_text_is_a_plan_or_its_faults_with_places(tmp_path, data):
    text = data.draw(st.sampled_from(TEXTS))
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 30)))
    inserted = data.draw(st.text(max_size=10) | st.sampled_from(['"', "[", "=", "."]))
    path = tmp_path / "plan.toml"
    damaged = text[:start] + inserted + text[end:]
    path.write_bytes(damaged.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(PlanError):
        Plan.load(path)


@given(
    tables=st.dictionaries(
        st.sampled_from(keys_in("")),
        st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8)),
    )
)
def test_any_tables_are_a_plan_or_its_faults(tables):
    with contextlib.suppress(PlanError):
        Plan.from_mapping(tables)
