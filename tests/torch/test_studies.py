"""Studies of random plans: drawn by seed, run for real on few hosts, resumed."""

import tomllib
from random import Random

import pytest

pytest.importorskip("torch.distributed")

from timed_plans import needs_emulation

from calibration.torch_engine.studies import real_plans, results, timed_plans
from calibration.torch_engine.studies.real_drawing import draw
from calibration.torch_engine.studies.rows import Drawn, Row, Seen, finished
from topologies.units import parse_quantity

pytestmark = pytest.mark.xdist_group("studies")  # one worker prepares for all
NETWORK = {
    "topology": "star",
    "link": "ethernet-1",
    "bandwidth": "200 Mbit/s",
    "multipath": "one",
}
SMALL = {
    "model": {"family": "mlp", "widths": [64, 64, 64]},
    "batch": {"global": 24, "micro": 8},
    "synchronization": {"algorithm": "tree", "overlap": False, "ring_order": "rank"},
    "training": {"precision": "fp32", "optimizer": "momentum"},
    "cluster": {
        "device": "emulated-cpu.toml",
        "profile": "emulated-cpu.toml",
        "shared_cores": 2,
        "nodes": 3,
        "network": NETWORK,
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a profile of this machine, of a few small kernels."""
    found = tmp_path_factory.mktemp("profile")
    real_plans.profile(found, grid="toy")
    return found


def test_the_profile_has_kernels_of_this_machine_and_links_of_two_hosts(folder):
    table = tomllib.loads((folder / "emulated-cpu.toml").read_text())
    assert table["kernels"]["fp32"]["points"]
    assert set(table["links"]) == {"ethernet-1"}
    assert int(table["conditions"]["processes"]) >= 1


@needs_emulation
def test_a_plan_runs_with_real_kernels_and_sends_what_was_predicted(folder):
    """Two layers of 64 x 64 and biases: 33,280 B of gradients, in one sum."""
    row = real_plans.predicted(Drawn("small", "tree", SMALL), folder)
    assert 0 < row.others["own_cores_s"] <= row.predicted
    done = real_plans.measured(row, 1, folder)
    assert real_plans.is_as_predicted(done)
    assert done.seen.time > 0
    (entry,) = tomllib.loads("\n".join(real_plans.report([done], 7, folder)))["row"]
    assert entry["ledger_equal"] is True
    assert str(folder) not in entry["plan"]


@pytest.mark.parametrize("study", [timed_plans, real_plans])
def test_rows_that_have_run_are_kept(tmp_path, folder, study):
    others = dict.fromkeys(study.FIGURES, 1.0)
    ran = Row(drawn=Drawn("a", "ring", {"x": 1}), predicted=1.0)
    other = Row(drawn=Drawn("b", "ring", {"x": 2}), predicted=2.0)
    path = tmp_path / "rows.toml"
    done = Row(drawn=ran.drawn, predicted=1.0, seen=Seen((1.0, 2.0, 1.5), others))
    lines = (
        real_plans.report([done, other], 1, folder)
        if study is real_plans
        else timed_plans.report([done, other], 1)
    )
    results.write(path, lines)
    first, second = finished([ran, other], path, study.FIGURES)
    assert first.seen == done.seen
    assert second.seen is None


def test_a_changed_prediction_runs_again(tmp_path):
    seen = Seen((1.0,), dict.fromkeys(timed_plans.FIGURES, 1.0))
    done = Row(
        drawn=Drawn("a", "ring", {}),
        predicted=1.0,
        others={"sent_bytes": 1.0},
        seen=seen,
    )
    path = tmp_path / "rows.toml"
    results.write(path, timed_plans.report([done], 1))
    moved = Row(drawn=done.drawn, predicted=1.1)
    assert finished([moved], path, timed_plans.FIGURES)[0].seen is None


def test_the_same_seed_draws_the_same_plans():
    kinds = ("ring", "pipeline", "pipeline-data", "tensor-data")
    one, other = ([draw(Random(k), kinds[k % 4], 2) for k in range(40)] for _ in "ab")
    assert one == other
    rates = [
        parse_quantity(each.plan["cluster"]["network"]["bandwidth"], "B/s") * 8 / 1e6
        for each in one
    ]
    assert 50 <= min(rates) < 100
    assert 400 < max(rates) <= 500
    assert {each.plan["cluster"]["network"]["topology"] for each in one} == {
        *("ring", "wheel", "star", "random")
    }
