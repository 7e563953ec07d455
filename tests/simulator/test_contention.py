"""A step among others: its parts, its critical path, its trace, and what cannot be."""

import json
from dataclasses import asdict

import pytest

from simulator.api import simulate
from simulator.cli import main
from simulator.errors import Infeasible
from simulator.reporting.explain import contributions, critical_path
from simulator.reporting.report import text_report
from simulator.reporting.trace import trace_events
from tests.laws.small_plans import networked

ROUNDING = 1e-9
CROSS = {"from": 0, "to": 1, "rate": "5 Gbit/s"}
PLANS = {
    "data": {"data": 4},
    "overlapped": {"data": 4, "overlap": True, "layers": 4, "bucket": "40 kB"},
    "pipeline": {"pipeline": 2, "data": 2, "microbatches": 3},
    "tensor": {"tensor": 4, "sequence": True},
    "hidden tensor": {"tensor": 4, "overlap_tensor": True},
}
each_plan = pytest.mark.parametrize("name", PLANS)


def small(name, topology="ring", background=(CROSS,)):
    large = {"hidden": 512, "length": 128}
    return networked(topology, **large | PLANS[name], background=background)


@each_plan
@pytest.mark.parametrize("background", [(), (CROSS,)], ids=["alone", "shared"])
@pytest.mark.parametrize("engine", ["analytical", "event"])
def test_parts_add_up_to_the_step(name, background, engine):
    result = simulate(small(name, background=background), engine=engine)
    parts = result.breakdown
    assert parts.total == pytest.approx(result.step_time_s, rel=ROUNDING)
    margin = -ROUNDING * result.step_time_s
    assert all(part >= margin for part in asdict(parts).values())


@each_plan
@pytest.mark.parametrize("background", [(), (CROSS,)], ids=["alone", "shared"])
def test_the_critical_path_adds_up_to_the_step(name, background):
    result = simulate(small(name, background=background))
    total = sum(part.time for part in contributions(result))
    assert total == pytest.approx(result.step_time_s, rel=ROUNDING)
    assert critical_path(result)


@each_plan
def test_what_others_take_of_a_link_is_exposed_communication(name):
    """Not the host: it has issued the message, and the device waits for the network."""
    alone, shared = (
        simulate(small(name, background=some)).breakdown for some in ((), (CROSS,))
    )
    assert shared.exposed_communication_s > 1.1 * alone.exposed_communication_s
    assert shared.compute_s == pytest.approx(alone.compute_s, rel=ROUNDING)
    assert shared.host_s <= alone.host_s * (1 + ROUNDING)


@pytest.mark.parametrize("name", ["data", "tensor", "hidden tensor"])
def test_one_message_at_a_time_has_the_same_parts_under_both_engines(name):
    given_plan = small(name, "star", background=())
    event, analytical = (
        simulate(given_plan, engine=engine) for engine in ("event", "analytical")
    )
    expected = asdict(analytical.breakdown)
    margin = ROUNDING * event.step_time_s
    assert asdict(event.breakdown) == pytest.approx(expected, abs=margin)


@each_plan
def test_a_trace_ends_with_the_step(name):
    result = simulate(small(name))
    events = [event for event in trace_events(result) if event["ph"] == "X"]
    end = max(event["ts"] + event["dur"] for event in events)
    assert end / 1e6 == pytest.approx(result.step_time_s, rel=ROUNDING)
    assert all(event["dur"] >= 0 for event in events)


def test_the_same_plan_gives_the_same_answer_again():
    one, other = (json.dumps(simulate(small("overlapped")).to_json()) for _ in "12")
    assert one == other


@pytest.mark.parametrize(
    ("amount", "slowed"),
    [({"rate": "5 Gbit/s"}, True), ({"size": "10 MB", "period": "5 ms"}, True)],
)
def test_flows_between_nodes_of_several_devices_use_the_network(amount, slowed):
    choices = {"tensor": 2, "data": 2, "per_node": 2, "hidden": 512}
    cross = {"from": 0, "to": 1, **amount}
    alone = simulate(networked("star", **choices)).step_time_s
    shared = simulate(networked("star", **choices, background=[cross])).step_time_s
    assert slowed == (shared > alone * (1 + ROUNDING))


def test_on_rails_a_flow_goes_between_nodes():
    """Hosts are devices there; node 1 is not device 1."""
    choices = {"tensor": 2, "data": 2, "per_node": 2, "hidden": 512}
    rails = choices | {"network": {"spines": 1}}
    alone = simulate(networked("rail-optimized", **rails)).step_time_s
    cross = {"from": 0, "to": 1, "rate": "10 Gbit/s"}
    shared = networked("rail-optimized", **rails, background=[cross])
    assert simulate(shared).step_time_s > 1.1 * alone


def cut_off(background):
    """Two leaves of two nodes; the plan has those of the first, node 3 hangs free."""
    sizes = {"leaves": 2, "hosts_per_leaf": 2, "spines": 1}
    sizes |= {"failed": [["host 3", "switch 1"]]}
    return networked("leaf-spine", data=2, network=sizes, background=background)


def test_a_cut_that_nobody_crosses_does_no_harm():
    assert text_report(simulate(cut_off([])))


def test_a_flow_over_a_cut_is_infeasible():
    cross = {"from": 0, "to": 3, "rate": "1 Gbit/s"}
    with pytest.raises(Infeasible, match="host 3 cannot reach"):
        simulate(cut_off([cross]))


def test_a_job_over_a_cut_is_infeasible_on_the_command_line(tmp_path, capsys):
    other, here = tmp_path / "other.toml", tmp_path / "plan.toml"
    other.write_text(networked("star", data=2).dump(), encoding="utf-8")
    cross = {"plan": str(other), "first_node": 2}
    here.write_text(cut_off([cross]).dump(), encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        main([str(here)])
    assert end.value.code == 3
    assert "host 3 cannot reach" in capsys.readouterr().err


def test_without_others_a_job_and_its_messages_end_together():
    small = networked("ring", data=5, overlap=False)
    one = simulate(small).step_time_s
    each = simulate(small, is_expanded=True).step_time_s
    assert each == pytest.approx(one, rel=1e-9)


def test_among_others_the_messages_find_gaps_that_a_job_does_not():
    """A job is as slow as its slowest link on all of them; messages are not.

    The stream halves one link. Pulses on another fit between messages that wait for
    the first link, and slow the job but hardly the messages. How far the two can be
    apart stands in DESIGN.md; a fifth bounds what this case shows.
    """
    others = [
        {"from": 0, "to": 1, "rate": "3 Gbit/s"},
        {"from": 2, "to": 3, "size": "5 MB", "period": "10 ms"},
    ]
    small = networked("ring", data=4, hidden=512, layers=4, background=others)
    one = simulate(small).step_time_s
    each = simulate(small, is_expanded=True).step_time_s
    assert each <= one <= 1.2 * each
