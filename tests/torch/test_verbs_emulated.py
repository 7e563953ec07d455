"""`simulate run` and `simulate validate` on emulated networks, as they are called."""

import json

import pytest

pytest.importorskip("torch.distributed")

from test_verbs import called
from timed_plans import WIDTH, mapping, needs_emulation

from simulator.plan import Plan

GRADIENTS = 4 * 6 * (WIDTH * WIDTH + WIDTH)  # six layers of fp32, with biases
EMULATED = ["--network", "emulated", "--steps", "1", "--json"]


@pytest.fixture
def plan_file(tmp_path):
    path = tmp_path / "ring.toml"
    path.write_text(Plan.from_mapping(mapping()).dump())
    return str(path)


@needs_emulation
@pytest.mark.parametrize("compute", ["timed", "real"])
def test_a_run_sends_over_the_emulated_network(capsys, plan_file, compute):
    words = ["run", plan_file, *EMULATED, "--compute", compute]
    code, out, _ = called(capsys, *words)
    found = json.loads(out)
    assert code == 0
    assert found["world_size"] == 3
    assert len(found["step_times_s"]) == 1
    assert found["ledger"] == [
        {"op": "all-reduce", "axis": "data", "bytes": GRADIENTS, "count": 1}
    ]
    # A ring of three sends 4 / 3 of the gradients each; 12.5 MB/s is the cables' rate.
    assert found["step_time_s"] > 4 / 3 * GRADIENTS / 12.5e6 / 2


@needs_emulation
@pytest.mark.parametrize("compute", ["timed", "real"])
def test_validation_on_an_emulated_network(capsys, plan_file, compute):
    words = ["validate", plan_file, *EMULATED, "--compute", compute]
    code, out, _ = called(capsys, *words)
    found = json.loads(out)
    assert code == 0
    assert found["ledger_equal"] is True
    (plan,) = found["plans"]
    assert plan["predicted"]["ledger"] == plan["measured"]["ledger"]


@needs_emulation
def test_parameter_servers_on_hosts_of_an_emulated_switch(capsys, tmp_path):
    path = tmp_path / "served.toml"
    plan = mapping(topology="switch")
    plan["synchronization"] = {"scheme": "parameter-server"}
    path.write_text(Plan.from_mapping(plan).dump())
    code, out, _ = called(capsys, "validate", str(path), *EMULATED)
    assert code == 0
    assert json.loads(out)["ledger_equal"] is True


@pytest.mark.parametrize("compute", ["timed", "real"])
def test_routes_that_split_cannot_be_emulated(capsys, tmp_path, compute):
    plan = mapping()
    plan["cluster"]["network"] |= {"multipath": "split"}
    message = "cluster.network.multipath: an emulated host has one route to another"
    assert message in refused(capsys, tmp_path, plan, compute)


def test_timed_kernels_need_a_graph(capsys, tmp_path):
    plan = mapping(topology="switch")
    assert "a graph, not a switch" in refused(capsys, tmp_path, plan, "timed")


def test_one_node_has_no_network_to_emulate(capsys, tmp_path):
    plan = mapping(hosts=1)
    del plan["cluster"]["network"]
    plan["cluster"] |= {"devices_per_node": 2, "fabric": "pcie-2-x16"}
    plan["batch"]["global"] *= 2
    message = "devices of one node have no network to emulate"
    assert message in refused(capsys, tmp_path, plan, "real")


def refused(capsys, tmp_path, plan, compute):
    """The one line that is said of a plan, after exit code 2."""
    path = tmp_path / "plan.toml"
    path.write_text(Plan.from_mapping(plan).dump())
    words = ["run", str(path), *EMULATED, "--compute", compute]
    code, out, err = called(capsys, *words)
    assert code == 2
    assert not out
    (line,) = err.strip().splitlines()
    return line


def test_timed_kernels_need_an_emulated_network(capsys, plan_file):
    code, _, err = called(capsys, "run", plan_file, "--compute", "timed")
    assert code == 2
    assert "--compute timed needs --network emulated" in err
