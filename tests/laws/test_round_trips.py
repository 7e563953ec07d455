"""Text and back: plans, actions, schedules."""

from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.api import simulate
from simulator.lowering.rows import rows_of
from simulator.lowering.schedules.actions import Action
from simulator.plan import Plan
from tests.laws.small_plans import plans
from tests.oracles.schedule_text import read, written

actions = st.builds(
    Action, st.integers(0, 9999), st.sampled_from("FBIW"), st.integers(0, 9999)
)


@given(plans())
@settings(derandomize=True, deadline=None, max_examples=60)
def test_a_dumped_plan_loads_as_the_same_plan(tmp_path_factory, small):
    path = tmp_path_factory.mktemp("plans") / "plan.toml"
    path.write_text(small.dump(), encoding="utf-8")
    loaded = Plan.load(path)
    assert loaded == small
    assert loaded.dump() == small.dump()
    assert loaded.content_hash == small.content_hash


@given(plans())
@settings(derandomize=True, deadline=None, max_examples=10)
def test_a_dumped_plan_is_predicted_as_the_same_plan(tmp_path_factory, small):
    path = tmp_path_factory.mktemp("plans") / "plan.toml"
    path.write_text(small.dump(), encoding="utf-8")
    assert simulate(Plan.load(path)).to_json() == simulate(small).to_json()


@given(actions)
@settings(derandomize=True, deadline=None)
def test_a_written_action_reads_back(action):
    assert Action.parse(str(action)) == action


@given(plans())
@settings(derandomize=True, deadline=None, max_examples=60)
def test_a_written_schedule_reads_back(small):
    rows = rows_of(small)
    assert read(written(rows)) == rows
