"""`simulate run` and `simulate validate`, as they are called."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from small_plans import GPT, MLP, plan_of  # noqa: E402

from calibration.torch_engine import validation  # noqa: E402
from calibration.torch_engine.validation import Comparison  # noqa: E402
from simulator.cli import main  # noqa: E402

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plan_file(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(MLP.replace('framework = "torch"', ""))
    return str(path)


def called(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main(words)
    return ended.value.code, *capsys.readouterr()


def test_a_run_prints_what_was_measured(capsys, plan_file):
    code, out, _ = called(capsys, "run", plan_file, "--steps", "2", "--json")
    found = json.loads(out)
    assert code == 0
    assert len(found["step_times_s"]) == 2
    assert found["world_size"] == 2
    # Two copies of 16 x 32 + 32 x 32 + 32 x 32 + 32 x 10 weights and 106 biases.
    assert found["parameters"] == 2 * 2986
    assert found["ledger"] == [
        {"op": "all-reduce", "axis": "data", "bytes": 4 * 2986, "count": 1}
    ]
    assert sum(found["breakdown"].values()) == pytest.approx(found["step_time_s"])


def test_validation_compares_ledgers_and_draws_both(capsys, plan_file, tmp_path):
    trace = tmp_path / "trace.json"
    words = ["validate", plan_file, "--steps", "1", "--json", "--trace", str(trace)]
    code, out, _ = called(capsys, *words)
    found = json.loads(out)
    assert code == 0
    assert found["ledger_equal"] is True
    (plan,) = found["plans"]
    assert plan["ledger_equal"] is True
    assert set(plan) == {"plan", "ledger_equal", "predicted", "measured", "error"}
    assert plan["error"]["step_time_s"] == pytest.approx(
        plan["predicted"]["step_time_s"] / plan["measured"]["step_time_s"] - 1
    )
    events = json.loads(trace.read_text())["traceEvents"]
    names = [e["args"]["name"] for e in events if e["name"] == "process_name"]
    assert names == ["predicted", "measured"]
    assert {1, 2} == {e["pid"] for e in events if e["ph"] == "X"}


def test_unequal_ledgers_end_with_exit_code_4(capsys, plan_file, monkeypatch):
    right = validation.compare

    def compare(name, plan, options):
        small = right(name, plan.replace({"model.widths": (16, 10)}), options)
        return Comparison(name, small.predicted, right(name, plan, options).measured)

    monkeypatch.setattr(validation, "compare", compare)
    code, out, err = called(capsys, "validate", plan_file, "--steps", "1")
    assert code == 4
    assert "UNEQUAL" in out
    assert "predicted 1 of 680 B, sent 1 of 11944 B" in out
    assert "what was sent is not what was predicted" in err


def test_what_cannot_be_run_is_a_fault_of_the_plan(capsys, plan_file):
    changes = ["parallelism.zero=3", "parallelism.gather=weight"]
    words = [word for change in changes for word in ("--set", change)]
    code, _, err = called(capsys, "run", plan_file, *words)
    assert code == 2
    assert "parallelism.gather: weight: " in err
    assert "is simulated, but not run yet" in err


def test_parameter_servers_are_processes_beside_the_ranks(capsys, plan_file):
    change = ["--set", "synchronization.scheme=parameter-server"]
    words = ["run", plan_file, *change, "--steps", "1", "--json"]
    code, out, _ = called(capsys, *words)
    found = json.loads(out)
    assert code == 0
    assert found["world_size"] == 2
    assert {row["op"] for row in found["ledger"]} == {"push", "pull"}
    assert found["breakdown"]["exposed_communication_s"] > 0


def test_several_plans_make_a_table(capsys, tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(plan_of(GPT).dump())
    code, out, _ = called(capsys, "validate", str(path), str(path), "--steps", "1")
    assert code == 0
    assert out.count(" equal") == 2


def test_under_torchrun_ranks_join_and_one_prints(plan_file):
    words = ["--nproc-per-node=2", "--standalone", "-m", "simulator"]
    verb = ["run", plan_file, "--steps", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *words, *verb],
        env={**os.environ, "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["world_size"] == 2


def test_devices_of_one_node_have_no_network_to_emulate(capsys, plan_file):
    code, _, err = called(capsys, "run", plan_file, "--network", "emulated")
    assert code != 0
    assert "cluster.nodes: devices of one node have no network to emulate" in err


def test_more_ranks_than_a_machine_takes_are_refused(capsys, plan_file):
    words = ["--set", "batch.global=4096", "--set", "cluster.nodes=512"]
    words += ["--set", "cluster.network.link=ethernet-10", "--set", "parallelism.data="]
    code, _, err = called(capsys, "run", plan_file, *words)
    assert code != 0
    assert "ranks would each be a process of this machine" in err


def test_more_ranks_than_cores_can_carry_are_refused(capsys, plan_file, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    words = ["--set", "batch.global=4096", "--set", "cluster.nodes=16"]
    words += ["--set", "cluster.network.link=ethernet-10", "--set", "parallelism.data="]
    code, _, err = called(capsys, "run", plan_file, *words)
    assert code == 2
    assert "ranks would compute on 1 cores of this machine" in err
