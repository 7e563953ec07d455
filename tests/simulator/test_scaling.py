"""Scaling curves: laws of speed-up, what is said about bad points, where it stops."""

import csv
import io
import json
import sys
from pathlib import Path

import pytest

from simulator import Plan, scale, simulate
from simulator.errors import MissingOptional, PlanError
from simulator.results.metrics import Breakdown
from simulator.scaling import Measures, Point, sweep
from simulator.scaling.answer import answer
from simulator.scaling.points import described, short_names
from simulator.scaling.stopping import PARTS, sizes, steps, stop

ROOT = Path(__file__).parents[2]
NODES = "cluster.nodes"


@pytest.fixture(scope="module")
def resnet() -> Plan:
    return Plan.load(ROOT / "plans" / "resnet50-16gpu-ethernet.toml")


@pytest.fixture(scope="module")
def gpt() -> Plan:
    return Plan.load(ROOT / "plans" / "gpt-175b-512gpu.toml")


def made(devices, rate, *, status="completed", **seconds_per_sample) -> Point:
    """A point whose parts cost so many device-seconds a sample; compute the rest."""
    parts = {f"{name}_s": cost for name, cost in seconds_per_sample.items()}
    whole = devices / rate
    parts["compute_s"] = whole - sum(parts.values())
    shares = Breakdown(**{part: parts.get(part, 0.0) / whole for part in PARTS})
    measures = Measures(
        devices=devices,
        step_time_s=1.0,  # so that shares are seconds
        interval_s=(0.9, 1.1),
        samples_per_s=rate,
        tokens_per_s=None,
        sample_flop=1.0,
        mfu=0.5,
        breakdown=shares,
        memory_peak_bytes=1.0,
        memory_capacity_bytes=2.0,
    )
    return Point(
        settings={NODES: devices},
        devices=devices,
        plan=None,
        status=status,
        measures=measures,
    )


def test_varying_zero_leaves_out_what_says_nothing_there(gpt):
    changes = {
        "parallelism.pipeline": 1,
        "parallelism.data": None,
        "parallelism.shard": 8,
        "parallelism.zero": 3,
        "parallelism.reshard": False,
        "parallelism.prefetch": 2,
        "parallelism.layers": [
            {"match": "block", "blocks": ":2", "zero": 2, "recompute": "none"},
            {"match": "block", "reshard": True},
        ],
    }
    varied = scale(gpt.replace(changes), {"parallelism.zero": [0, 1, 2, 3]})
    assert all(point.reason == "" for point in varied.points)
    ways = [point.plan.parallelism for point in varied.points]
    assert [way.shard for way in ways] == [64, 8, 8, 8]
    assert [way.reshard for way in ways] == [True, True, True, False]
    assert [way.prefetch for way in ways] == [1, 1, 1, 2]
    assert [len(way.layers) for way in ways] == [1, 1, 1, 2]
    assert [way.layers[0].zero for way in ways] == [None, None, 2, 2]
    said = "of the plan is left out, as far as it says nothing, where zero ="
    assert {
        f"parallelism.shard {said} 0",
        f"parallelism.prefetch {said} 0, 1, 2",
        f"parallelism.reshard {said} 0, 1, 2",
        f"parallelism.layers {said} 0, 1, 2",
    } <= set(varied.notes)


# -- laws ------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["analytical", "event"])
def test_each_point_is_what_simulate_says(resnet, engine):
    scaling = scale(resnet, {NODES: [1, 2]}, engine)
    for point in scaling.points:
        alone = simulate(resnet.replace(point.settings), engine=engine)
        assert point.measures.step_time_s == alone.step_time_s
        assert point.measures.breakdown == alone.breakdown
        assert point.plan == alone.job.plan


def test_speedup_and_efficiency_are_relative_to_the_first_point(resnet):
    scaling = scale(resnet, {NODES: [1, 2, 4]})
    first, *others = scaling.rows
    assert (first["speedup"], first["efficiency"]) == (1.0, 1.0)
    for row in others:
        # The batch is the same, so the ratio of rates is the ratio of times.
        assert row["speedup"] == pytest.approx(
            first["step_time_s"] / row["step_time_s"]
        )
        ratio = row["devices"] / first["devices"]
        assert row["efficiency"] == pytest.approx(row["speedup"] / ratio)


def test_strong_scaling_keeps_the_batch_and_weak_scaling_the_batch_per_device(resnet):
    strong = scale(resnet, {NODES: [1, 2, 4]})
    assert {row["batch_global"] for row in strong.rows} == {resnet.batch.global_}
    weak = scale(resnet, {NODES: [1, 2, 4]}, weak=True)
    each = resnet.batch.global_ / resnet.world_size
    for row in weak.rows:
        assert row["batch_global"] / row["devices"] == each
    assert "weak scaling" in weak.text()


def test_weak_scaling_ends_more_efficient_than_strong_scaling(gpt):
    # Strong scaling leaves a replica fewer micro-batches, and so a larger bubble.
    over = {NODES: [16, 64, 256]}
    strong, weak = scale(gpt, over).rows, scale(gpt, over, weak=True).rows
    assert weak[-1]["efficiency"] > strong[-1]["efficiency"]
    assert strong[-1]["bubble_share"] > strong[0]["bubble_share"]


def test_keys_are_combined_and_the_last_varies_fastest(gpt):
    over = {"parallelism.tensor": [4, 8], "parallelism.pipeline": [8, 16]}
    scaling = scale(gpt, over)
    assert [tuple(p.settings.values()) for p in scaling.points] == [
        *((4, 8), (4, 16)),
        *((8, 8), (8, 16)),
    ]
    assert all(p.plan.world_size == gpt.world_size for p in scaling.points)


# -- data parallelism follows ----------------------------------------------------------


def test_data_is_worked_out_again_where_it_was_not_given(gpt):
    scaling = scale(gpt, {NODES: [16, 32]})
    assert [row["data"] for row in scaling.rows] == [2, 4]
    assert "parallelism.data follows from the devices" in scaling.text()


def test_data_that_was_given_is_left_out_and_that_is_said(gpt):
    given = gpt.replace({"parallelism.data": 8})
    scaling = scale(given, {NODES: [16, 32]})
    assert [row["data"] for row in scaling.rows] == [2, 4]
    assert "parallelism.data = 8 of the plan is left out" in scaling.text()


def test_data_that_was_given_stays_where_devices_do_not_vary(gpt):
    given = gpt.replace({"parallelism.data": 8})
    scaling = scale(given, {"batch.micro": [1, 2]})
    assert all("data" in p.plan.parallelism.model_fields_set for p in scaling.points)
    assert scaling.notes == ()


def test_data_that_varies_alone_says_what_to_vary(gpt):
    scaling = scale(gpt, {"parallelism.data": [4, 8]})
    assert [p.status for p in scaling.points] == ["invalid", "completed"]
    assert "vary cluster.nodes" in scaling.text()


def test_efficiency_is_relative_to_fewest_devices_on_the_same_link(resnet):
    link = "cluster.network.link"
    links = ["ethernet-10", "infiniband-hdr"]
    scaling = scale(resnet, {NODES: [2, 4], link: links}, weak=True)
    rows = {(row[NODES], row[link]): row for row in scaling.rows}
    for each in links:
        assert rows[2, each]["efficiency"] == 1.0
        rates = rows[4, each]["samples_per_s"] / rows[2, each]["samples_per_s"]
        assert rows[4, each]["efficiency"] == pytest.approx(rates / 2)


# -- points that cannot be -------------------------------------------------------------


def test_an_invalid_point_stays_in_the_table_with_its_reason(gpt):
    scaling = scale(gpt, {NODES: [4, 8]})
    bad, good = scaling.points
    assert (bad.status, bad.measures, bad.plan) == ("invalid", None, None)
    assert bad.reason.startswith("parallelism.data: 8 tensor x 8 pipeline = 64 devices")
    assert bad.reason in scaling.text()
    assert good.is_feasible
    assert scaling.reference is good.measures


def test_values_of_the_wrong_kind_are_reasons_and_no_traceback(resnet):
    scaling = scale(resnet, {NODES: ["many", 0, 4]})
    assert [p.status for p in scaling.points] == ["invalid", "invalid", "completed"]
    assert [p.devices for p in scaling.points] == [None, None, 16]


def test_a_batch_that_does_not_grow_in_whole_samples_is_a_reason(gpt):
    plan = gpt.replace({"batch.global": 48})  # on 512 devices
    (point,) = scale(plan, {NODES: [1]}, weak=True).points
    assert point.status == "invalid"
    assert point.reason == "batch.global: 3/32 samples per device x 8 is not whole"


def test_what_does_not_fit_is_shown_but_is_no_reference(gpt):
    over = {"parallelism.tensor": [2, 8]}
    scaling = scale(gpt, over)
    assert [p.status for p in scaling.points] == ["out_of_memory", "completed"]
    assert scaling.rows[0]["step_time_s"] > 0
    assert scaling.rows[1]["speedup"] == 1.0
    assert "out of memory" in scaling.text()


def test_where_nothing_can_run_the_answer_says_so(gpt):
    scaling = scale(gpt, {NODES: [1, 3]})
    assert scaling.answer == "No point can run; the table says why."
    assert scaling.reference is None
    assert scaling.to_json()["stops_paying"] is None


@pytest.mark.parametrize(
    ("over", "answer"),
    [
        ({}, "names no key"),
        ({"cluster.nods": [1]}, "did you mean cluster.nodes?"),
        ({NODES: []}, "has no values"),
        ({NODES: "1,2"}, "takes a list of values, got '1,2'"),
        ({NODES: 8}, "takes a list of values, got 8"),
    ],
)
def test_a_request_that_means_nothing_is_refused_as_a_whole(resnet, over, answer):
    with pytest.raises(PlanError) as caught:
        scale(resnet, over)
    assert answer in str(caught.value)


def test_weak_scaling_over_the_batch_is_refused(resnet):
    with pytest.raises(PlanError, match=r"leave one of the two out"):
        scale(resnet, {"batch.global": [64, 128]}, weak=True)


# -- where it stops paying -------------------------------------------------------------


def test_doubling_that_gives_exactly_one_and_a_half_still_pays():
    assert stop([made(8, 100.0), made(16, 150.0)]) is None
    assert stop([made(8, 100.0), made(16, 149.0)]) is not None


def test_a_step_of_four_is_judged_as_two_doublings():
    # 2.25 = 1.5 ** 2
    (step,) = steps([made(8, 100.0), made(32, 225.0)])
    assert step.gain == 2.25
    assert step.gain_per_doubling == pytest.approx(1.5)


def test_the_stop_is_the_last_point_before_the_first_step_that_does_not_pay():
    points = [made(8, 100.0), made(16, 190.0), made(32, 250.0), made(64, 480.0)]
    found = stop(points)
    assert (found.before.devices, found.after.devices) == (16, 32)
    said = answer(points)
    assert said.startswith("It stops paying at 16 devices (nodes = 16)")
    assert "It pays again from 32 devices" in said


def test_the_order_of_points_does_not_matter():
    points = [made(8, 100.0), made(16, 190.0), made(32, 250.0)]
    assert answer(points[::-1]) == answer(points)


def test_of_several_points_with_as_many_devices_the_fastest_counts():
    slow, fast = made(16, 120.0), made(16, 190.0)
    assert [p for p, _ in sizes([slow, fast, made(8, 100.0)])][1] is fast


def test_points_that_do_not_fit_do_not_count():
    points = [made(8, 100.0), made(16, 50.0, status="out_of_memory"), made(32, 390.0)]
    assert stop(points) is None


def test_the_reason_is_the_part_whose_cost_per_sample_grew_most():
    points = [
        made(8, 8.0, bubble=0.1, exposed_communication=0.2),
        made(16, 8.0, bubble=0.7, exposed_communication=0.5),
    ]
    # 1 device-second a sample becomes 2: of the one that is lost, 0.6 are bubble.
    step = stop(points)
    assert step.part == "bubble_s"
    assert (step.cost_before, step.cost_after) == pytest.approx((0.1, 0.7))
    assert step.share == pytest.approx(0.6)
    assert "the pipeline bubble, which goes from 100 ms to 700 ms" in answer(points)
    assert "60% of what is lost" in answer(points)


def test_costs_per_sample_add_up_to_devices_over_rate(resnet):
    for point in scale(resnet, {NODES: [1, 2, 4]}).points:
        found = point.measures
        costs = sum(found.device_seconds_per_sample(part) for part in PARTS)
        assert costs == pytest.approx(found.devices / found.samples_per_s)


def test_perfect_scaling_pays_and_blames_nobody():
    said = answer([made(8, 100.0), made(16, 200.0)])
    assert said.startswith("It pays up to the largest point, 16 devices")
    assert "lost" not in said


def test_at_one_size_the_answer_is_the_fastest_point(gpt):
    scaling = scale(
        gpt, {"parallelism.tensor": [4, 8], "parallelism.pipeline": [8, 16]}
    )
    feasible = [p for p in scaling.points if p.is_feasible]
    best = max(feasible, key=lambda p: p.measures.samples_per_s)
    assert scaling.answer.startswith("Fastest of those that can run: ")
    assert described(best.settings) in scaling.answer.partition(";")[0]
    assert scaling.stop is None


# -- forms -----------------------------------------------------------------------------


def test_csv_has_a_row_a_point_and_nothing_where_nothing_was_predicted(gpt):
    scaling = scale(gpt, {NODES: [4, 8]})
    bad, good = csv.DictReader(io.StringIO(scaling.to_csv()))
    assert (bad[NODES], bad["status"], bad["step_time_s"]) == ("4", "invalid", "")
    assert float(good["step_time_s"]) == scaling.rows[1]["step_time_s"]


def test_json_is_plain_and_names_the_stop(gpt):
    scaling = scale(gpt, {NODES: [64, 128, 256, 512, 768]})
    document = json.loads(json.dumps(scaling.to_json(), allow_nan=False))
    assert document["answer"] == scaling.answer
    first = document["points"][0]
    assert first["set"] == {NODES: 64}
    assert sum(first["breakdown"].values()) == pytest.approx(first["step_time_s"])
    if scaling.stop:  # predictions move; the two forms must agree
        assert document["stops_paying"]["devices"] == scaling.stop.before.devices
        assert document["stops_paying"]["gain_per_doubling"] < 1.5


def test_the_table_is_aligned_and_shows_tokens_only_for_sequences(resnet, gpt):
    text = scale(resnet, {NODES: [1, 2]}).text()
    assert "tokens/s" not in text
    assert "tokens/s" in scale(gpt, {NODES: [8]}).text()
    heading, *rows = text.split("\n\n")[1].splitlines()
    assert {len(row) for row in rows} == {len(heading)}


def test_html_is_escaped_and_has_the_answer(resnet):
    scaling = scale(resnet.replace({"title": "<b>bold</b>"}), {NODES: [1, 3]})
    html = scaling._repr_html_()
    assert "&lt;b&gt;bold" in html
    assert "<b>bold" not in html
    assert "pays" in html or "Fastest" in html


def test_repr_is_one_short_line(resnet):
    assert len(repr(scale(resnet, {NODES: [1]}))) < 200


def test_without_pandas_the_command_to_install_it_is_said(resnet, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingOptional, match="pandas"):
        scale(resnet, {NODES: [1]}).to_pandas()


def test_short_names_stay_apart():
    assert short_names(("cluster.nodes", "batch.micro")) == {
        "cluster.nodes": "nodes",
        "batch.micro": "micro",
    }
    same = ("model.name", "cluster.name")
    assert short_names(same) == dict(zip(same, same, strict=True))


# -- interruption ----------------------------------------------------------------------


def test_an_interruption_keeps_what_is_finished(resnet, monkeypatch):
    calls = []

    def interrupted(plan, **options):
        calls.append(plan)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return simulate(plan, **options)

    monkeypatch.setattr(sweep, "simulate", interrupted)
    scaling = scale(resnet, {NODES: [1, 2, 4, 8]})
    assert scaling.is_interrupted
    assert [p.settings[NODES] for p in scaling.points] == [1, 2]
    assert "interrupted after 2 of 4 points" in scaling.text()
    assert scaling.to_json()["is_interrupted"] is True


def test_an_interruption_before_the_first_point_still_prints(resnet, monkeypatch):
    def interrupted(plan, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "simulate", interrupted)
    scaling = scale(resnet, {NODES: [1]})
    assert scaling.points == ()
    assert scaling.to_csv() == ""
    assert "interrupted after 0 of 1 points" in scaling.text()


def test_nothing_is_said_on_stderr_where_there_is_no_terminal(resnet, capsys):
    scale(resnet, {NODES: [1, 2]})
    assert capsys.readouterr() == ("", "")


# -- unlike models ---------------------------------------------------------------------


def test_models_of_other_cost_are_not_compared(resnet):
    names = ["resnet50", "vgg16"]
    scaling = scale(resnet, {"model.name": names, NODES: [1, 2]})
    assert [row["speedup"] for row in scaling.rows][::2] == [1.0, 1.0]
    assert "samples/s do not compare" in scaling.answer
    assert scaling.stop is None
    at_one_size = scale(resnet, {"model.name": names})
    assert [row["speedup"] for row in at_one_size.rows] == [1.0, 1.0]
    best = max(at_one_size.points, key=lambda point: point.measures.mfu)
    assert f"used best at name = {best.settings['model.name']}" in at_one_size.answer


def test_choices_that_cost_the_same_are_compared(resnet):
    scaling = scale(resnet, {"training.precision": ["fp16", "fp32"]})
    assert scaling.rows[1]["speedup"] < 1
    assert scaling.answer.startswith("Fastest")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("tp", "did you mean parallelism.tensor?"),
        ("nodes", "did you mean cluster.nodes?"),
        ("cluster.network", "write one of its keys: cluster.network.topology"),
        ("parallelism.pp", "did you mean parallelism.pipeline?"),
        ("parallel.lr", "leave it out"),
        ("xyz.xyz", "allowed: `simulate schema`"),
    ],
)
def test_a_key_that_no_plan_has_gets_a_hint(resnet, key, said):
    with pytest.raises(PlanError) as caught:
        scale(resnet, {key: [1, 2]})
    assert said in str(caught.value)
