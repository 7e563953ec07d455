"""Pictures: what stands in them, the formats, and that nothing global is touched."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib as mpl
import pytest

from simulator import Plan, plot_breakdown, plot_timeline, scale, simulate
from simulator.errors import RehearsalError
from simulator.plot import UnknownFormat
from simulator.plot.style import PARTS
from simulator.scaling.stopping import PARTS as PART_KEYS

ROOT = Path(__file__).parents[2]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def resnet() -> Plan:
    return Plan.load(ROOT / "plans" / "resnet50-16gpu-ethernet.toml")


@pytest.fixture(scope="module")
def gpt() -> Plan:
    return Plan.load(ROOT / "plans" / "gpt-175b-512gpu.toml")


@pytest.fixture(scope="module")
def result(resnet):
    return simulate(resnet, engine="analytical")


@pytest.fixture(scope="module")
def pipeline(gpt):
    return simulate(gpt, engine="analytical")


def words_of(path: Path) -> str:
    """All text of an SVG, which stays text."""
    root = ET.fromstring(path.read_text(encoding="utf-8"))
    return "\n".join(
        "".join(e.itertext()) for e in root.iter() if e.tag.endswith("text")
    )


def test_every_part_of_the_step_has_a_name_and_a_colour():
    assert tuple(PARTS) == PART_KEYS


def test_the_breakdown_names_parts_memory_and_units(result, tmp_path):
    path = tmp_path / "parts.svg"
    plot_breakdown(result, path)
    words = words_of(path)
    for word in (
        *("ResNet-50 on 16 V100", "compute", "exposed communication", "weights"),
        *("capacity", "[ms]", "[GiB]", "nine of ten"),
    ):
        assert word in words


def test_what_does_not_fit_is_said_in_the_picture(gpt, tmp_path):
    small = gpt.replace({"cluster.device": "v100-sxm2-16gb"})
    plot_breakdown(simulate(small, engine="analytical"), tmp_path / "parts.svg")
    assert "DOES NOT FIT" in words_of(tmp_path / "parts.svg")


@pytest.mark.parametrize("suffix", [".svg", ".png", ".PNG"])
def test_the_suffix_chooses_the_format(result, tmp_path, suffix):
    path = tmp_path / f"parts{suffix}"
    plot_breakdown(result, path)
    assert (path.read_bytes()[:8] == PNG) == (suffix.lower() == ".png")


@pytest.mark.parametrize("name", ["parts.gif", "parts", "parts.svg.gz", ""])
def test_an_unknown_suffix_is_a_usage_error_that_says_what_is_allowed(
    result, tmp_path, name
):
    path = tmp_path / name if name else name
    with pytest.raises(UnknownFormat, match=r"allowed: \.svg, \.png") as caught:
        plot_breakdown(result, path)
    assert isinstance(caught.value, RehearsalError)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("draw", [plot_breakdown, plot_timeline])
@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_the_same_result_gives_the_same_bytes(result, tmp_path, draw, suffix):
    one, other = tmp_path / f"one{suffix}", tmp_path / f"other{suffix}"
    draw(result, one)
    draw(result, other)
    assert one.read_bytes() == other.read_bytes()


def test_nothing_global_is_touched(result, tmp_path):
    before = dict(mpl.rcParams)
    plot_breakdown(result, tmp_path / "parts.svg")
    assert dict(mpl.rcParams) == before


def test_pyplot_is_never_imported(tmp_path):
    program = f"""
import sys
from simulator import *
plan = Plan.load("plans/mlp-1gpu-small.toml")
result = simulate(plan)
plot_breakdown(result, {str(tmp_path / "a.png")!r})
plot_timeline(result, {str(tmp_path / "b.svg")!r})
scale(plan, {{"batch.micro": [32, 64]}}).plot({str(tmp_path / "c.svg")!r})
print("matplotlib.pyplot" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout.strip() == "False"


def test_a_title_with_dollars_is_no_mathematics(resnet, tmp_path):
    plan = resnet.replace({"title": "from $5 to $6_x^"})
    plot_breakdown(simulate(plan, engine="analytical"), tmp_path / "parts.svg")
    assert "from $5 to $6_x^" in words_of(tmp_path / "parts.svg")


# -- timeline --------------------------------------------------------------------------


def test_a_short_timeline_is_drawn_in_one_panel(result):
    assert len(plot_timeline(result).axes) == 1


def test_a_long_timeline_is_drawn_at_its_two_ends(pipeline):
    beginning, end = plot_timeline(pipeline).axes
    assert beginning.get_xlim()[0] == 0.0
    assert end.get_xlim()[1] == pytest.approx(pipeline.step_time_s)
    assert beginning.get_xlim()[1] <= end.get_xlim()[0]


def test_a_timeline_names_stages_and_micro_batches(pipeline, tmp_path):
    plot_timeline(pipeline, tmp_path / "time.svg")
    words = words_of(tmp_path / "time.svg").splitlines()
    assert "stage 0 (64 devices)" in words
    assert "forward" in words
    last = str(pipeline.job.plan.num_microbatches - 1)
    assert {"0", last} <= set(words)


def test_a_timeline_of_very_many_ranks_is_cut_and_says_so(resnet, tmp_path):
    plan = resnet.replace({"cluster.nodes": 20, "batch.global": 80, "batch.micro": 1})
    result = simulate(plan, engine="analytical", is_folded=False)
    plot_timeline(result, tmp_path / "time.svg")
    assert "the first 64 of 80 simulated ranks" in words_of(tmp_path / "time.svg")


def test_collectives_beside_kernels_have_a_lane(gpt):
    plan = gpt.replace(
        {
            "parallelism.overlap_tensor": True,
            "parallelism.tensor": 2,
            "parallelism.pipeline": 2,
            "cluster.nodes": 1,
            "cluster.devices_per_node": 4,
            "parallelism.data": None,
            "batch.global": 2,
            "batch.micro": 1,
        }
    )
    result = simulate(plan, engine="analytical", is_folded=False)
    assert "tensor" in {span.stream for span in result.timeline.spans}
    plot_timeline(result)


def test_gathers_and_reductions_have_a_lane(resnet):
    hybrid = {"parallelism.zero": 3, "parallelism.shard": 8}
    result = simulate(resnet.replace(hybrid), engine="analytical")
    streams = {span.stream for span in result.timeline.spans}
    assert streams == {"compute", "gather", "reduce", "data"}
    plot_timeline(result)


# -- scaling ---------------------------------------------------------------------------


def test_a_scaling_plot_has_time_and_efficiency_against_devices(resnet, tmp_path):
    scaling = scale(resnet, {"cluster.nodes": [1, 2, 4]})
    figure = scaling.plot(tmp_path / "curve.svg")
    assert len(figure.axes) == 2
    words = words_of(tmp_path / "curve.svg")
    for word in ("time of one step [ms]", "efficiency", "ideal", "devices"):
        assert word in words
    assert scaling.answer.splitlines()[0][:40] in words


def test_the_point_where_it_stops_paying_is_marked(gpt, tmp_path):
    # Over 1 Gbit/s Ethernet, gradients of more nodes soon cost more than they bring.
    plan = gpt.replace({"cluster.network.link": "ethernet-1"})
    scaling = scale(plan, {"cluster.nodes": [64, 128, 256, 512]})
    assert scaling.stop is not None
    scaling.plot(tmp_path / "curve.svg")
    place = f"{scaling.stop.before.devices:,}"
    assert f"stops paying at {place}:" in words_of(tmp_path / "curve.svg")


def test_where_devices_do_not_vary_there_is_one_bar_a_point(gpt, tmp_path):
    over = {"parallelism.tensor": [4, 8], "parallelism.pipeline": [8, 16, 32]}
    scaling = scale(gpt, over)
    (axes,) = scaling.plot(tmp_path / "bars.svg").axes
    assert len(axes.get_yticks()) == len(scaling.points)
    assert "out of memory" in words_of(tmp_path / "bars.svg")


def test_a_curve_on_which_nothing_can_run_says_so(gpt, tmp_path):
    scale(gpt, {"cluster.nodes": [1, 3]}).plot(tmp_path / "none.svg")
    assert "No point can run" in words_of(tmp_path / "none.svg")


@pytest.mark.parametrize("weak", [False, True])
def test_points_that_do_not_fit_are_told_apart(gpt, tmp_path, weak):
    over = {"cluster.nodes": [32, 64], "parallelism.tensor": [2, 8]}
    scaling = scale(gpt, over, weak=weak)
    assert {p.status for p in scaling.points} == {"out_of_memory", "completed"}
    scaling.plot(tmp_path / "curve.svg")
    assert "does not fit in memory" in words_of(tmp_path / "curve.svg")
