"""Studies: several plans over the same keys, as one table and one picture."""

import csv
import io
import json
from pathlib import Path

import pytest

from simulator import Plan, cli, scale
from simulator.scaling import study

ROOT = Path(__file__).parents[2]
PLANS = sorted((ROOT / "plans").glob("scaling-*.toml"))
OVER = {
    "cluster.nodes": [1, 8],
    "cluster.network.topology": ["switch", "star"],
    "cluster.network.link": ["ethernet-10", "infiniband-hdr"],
}


@pytest.fixture(scope="module")
def made():
    return study([Plan.load(path) for path in PLANS[:2]], OVER, weak=True)


def test_each_plan_scales_as_alone(made):
    for scaling, path in zip(made.scalings, PLANS, strict=False):
        alone = scale(Plan.load(path), OVER, weak=True)
        assert scaling.rows == alone.rows


def test_rows_say_which_plan_they_are_of(made):
    rows = list(csv.DictReader(io.StringIO(made.to_csv())))
    assert len(rows) == len(made.rows) == 2 * 8
    assert list(rows[0])[:2] == ["plan", "cluster.nodes"]
    assert {row["plan"] for row in rows} == {"AlexNet", "GPT 1.3B"}
    assert {row["status"] for row in rows} == {"completed"}


def test_efficiency_is_relative_to_one_device_of_the_same_plan(made):
    for row in made.rows:
        if row["devices"] == 1:
            assert row["efficiency"] == pytest.approx(1.0)
        else:
            assert 0 < row["efficiency"] < 1


def test_text_json_and_html_have_every_plan(made):
    for text in (made.text(), json.dumps(made.to_json()), made._repr_html_()):
        assert "AlexNet" in text
        assert "GPT 1.3B" in text
    assert repr(made) == "<Study: AlexNet, GPT 1.3B, 16 points>"


def test_panels_are_plans_by_what_is_left_and_lines_are_the_first_key(made, tmp_path):
    path = tmp_path / "study.svg"
    figure = made.plot(path)
    assert len(figure.axes) == 4
    titles = [axes.get_title("left") for axes in figure.axes[:2]]
    assert titles == ["ethernet-10", "infiniband-hdr"]
    for axes in figure.axes:
        labels = [line.get_label() for line in axes.get_lines()]
        assert [label for label in labels if not label.startswith("_")] == [
            "switch",
            "star",
        ]
    first = path.read_bytes()
    made.plot(path)
    assert path.read_bytes() == first


def test_panels_of_sizes_alone_are_one_line_each():
    figure = study([Plan.load(path) for path in PLANS[:2]], {"cluster.nodes": [1, 8]})
    assert len(figure.plot().axes) == 2


def test_one_command_makes_table_and_picture(tmp_path, capsys):
    table, picture = tmp_path / "study.csv", tmp_path / "study.png"
    over = "cluster.nodes=1,8"
    arguments = [*map(str, PLANS), "--weak", "--over", over]
    with pytest.raises(SystemExit) as end:
        cli.main(["scale", *arguments, "--csv", str(table), "--plot", str(picture)])
    assert end.value.code == 0
    assert capsys.readouterr().out.count("weak scaling over cluster.nodes") == 3
    assert len(table.read_text("utf-8").splitlines()) == 1 + 3 * 2
    assert picture.stat().st_size > 0
