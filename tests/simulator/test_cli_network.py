"""What the command line says of networks: lists, notes and drawings."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESNET = str(ROOT / "plans" / "resnet50-16gpu-ethernet.toml")
TOPOLOGY = "cluster.network.topology"


def test_topologies_are_listed_with_figures(simulate):
    code, out, _ = simulate("list", "topologies", "--json")
    assert code == 0
    rows = {
        row["name"]: row
        for row in json.loads(out)["topologies"]
        if row["where"] == "between nodes"
    }
    torus, tree, leaves = rows["torus"], rows["fat-tree"], rows["leaf-spine"]
    assert (torus["hosts"], torus["cables"], torus["bisection"]) == (16, 32, 8)
    assert (torus["diameter"], torus["oversubscription"]) == (4, None)
    assert (tree["switches"], tree["diameter"], tree["oversubscription"]) == (20, 6, 1)
    assert (leaves["bisection"], leaves["oversubscription"]) == (4, 2)
    assert "shape = [4, 4]" in simulate("list", "topologies")[1]


def test_a_topology_that_cannot_matter_is_said_on_stderr_and_in_json(simulate):
    change = ("--set", f"{TOPOLOGY}=ring", "--set", "cluster.nodes=1")
    code, out, err = simulate(RESNET, "--json", *change)
    assert code == 0
    (note,) = json.loads(out)["notes"]
    assert "the plan has one node" in note
    assert err == f"note: {note}\n"


def test_on_a_switch_there_is_nothing_to_say(simulate):
    code, out, err = simulate(RESNET, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["notes"] == []


def test_the_network_is_drawn_where_there_is_one(simulate, tmp_path):
    path = tmp_path / "network.svg"
    arguments = (RESNET, "--plot-network", str(path))
    code, out, err = simulate(*arguments)
    assert (code, out) == (2, "")
    assert "try --set cluster.network.topology=star" in err
    code, _, err = simulate(*arguments, "--set", f"{TOPOLOGY}=star")
    assert code == 0
    assert err.endswith(f"wrote {path}\n")
    assert "utilization" in path.read_text("utf-8")


def test_one_plan_scales_over_topologies(simulate):
    over = ("--over", f"{TOPOLOGY}=switch,ring,wheel,random", "--json")
    code, out, _ = simulate("scale", RESNET, *over)
    assert code == 0
    points = json.loads(out)["points"]
    assert [point["status"] for point in points] == ["completed"] * 4
