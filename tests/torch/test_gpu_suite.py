"""What a machine is measured to do, at toy size on a CPU, and the suite for a GPU.

Times are measured here and never compared: the tests ask what was measured, whether a
plan can use it, and whether an end at any moment leaves a file.
"""

import tomllib

import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner  # noqa: E402

from calibration import gpu_suite  # noqa: E402
from calibration.machine.calibrate import calibrate  # noqa: E402
from calibration.machine.clock import Clock  # noqa: E402
from calibration.machine.links import Row, fitted  # noqa: E402
from calibration.machine.shapes import GRIDS  # noqa: E402
from calibration.machine.study import plan_of  # noqa: E402
from calibration.machine.sweep import Sweep  # noqa: E402
from models.work import Share  # noqa: E402
from simulator import simulate  # noqa: E402
from simulator.cli.program import cli  # noqa: E402
from simulator.plan import Plan  # noqa: E402
from simulator.pricing.measured import measured_time  # noqa: E402
from topologies.profile_file import load_profile  # noqa: E402

pytestmark = pytest.mark.xdist_group("gpu suite")  # one worker prepares for all
needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="torch sees no NVIDIA GPU"
)
QUICK = Clock(repetitions=3, most=0.001)
GPT = {
    "family": "gpt",
    "layers": 1,
    "hidden": 16,
    "heads": 2,
    "sequence_length": 8,
    "vocabulary": 40,
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    return folder, gpu_suite.run(folder, "cpu", "toy", 300.0)


def test_the_suite_leaves_a_profile_and_results(suite):
    folder, found = suite
    assert tomllib.loads((folder / "results.toml").read_text())["took"]
    assert {row["of"] for row in found["summary"]} == {"eager steps"}
    assert found["copies"]
    splits = found["splits"]
    ran = [(row["split"], row["is_ledger_predicted"]) for row in splits]
    wanted = [("one rank", True), ("data", True)]
    assert wanted == ran
    profile = load_profile(str(folder / "gpu.toml"))
    assert "product forward" in profile.kernels["fp32"].points
    assert 0 < profile.links["loopback"].efficiency <= 1


def test_a_plan_names_the_measured_device_beside_it(suite):
    folder, _ = suite
    text = """
    [model]
    family = "mlp"
    widths = [16, 32, 10]
    [batch]
    global = 8
    micro = 8
    [training]
    precision = "fp32"
    [cluster]
    device = "gpu.toml"
    """
    (folder / "plan.toml").write_text(text)
    result = simulate(Plan.load(folder / "plan.toml"))
    assert result.job.profile.name == "gpu"
    assert result.step_time_s > 0


def test_a_budget_that_is_over_leaves_what_is_finished(tmp_path):
    out = tmp_path / "machine.toml"
    said = []
    with pytest.raises(KeyboardInterrupt):  # nothing at all was measured
        calibrate(out, grid="toy", budget=0.0, with_links=False, say=said.append)
    assert not out.exists()


def test_an_interruption_keeps_what_is_finished(tmp_path):
    out = tmp_path / "machine.toml"

    def interrupting(line):
        if "operators of mlp" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibrate(out, grid="toy", with_links=False, say=interrupting)
    table = tomllib.loads(out.read_text())
    assert table["is_complete"] is False
    assert "relu activation forward" in table["kernels"]["fp32"]["points"]


def test_every_operator_of_a_network_is_measured(tmp_path):
    """A kernel without a curve would be priced by the roofline alone."""
    sweep = Sweep(clock=QUICK, say=lambda _: None)
    sweep.network(GPT, 2)
    table, share = sweep.table(), Share(2, element=4.0)
    out = tmp_path / "any.toml"
    calibrate(out, grid="toy", budget=60, with_links=False, say=lambda _: None)
    model = plan_of(GPT, 2, out).build_model()
    for layer in model.layers:
        for operator in layer.operators:
            for work in (*operator.forward(share), *operator.backward_input(share)):
                assert measured_time(work, table) is not None, work.name


def test_links_fit_what_a_made_up_link_gives():
    """All-reduce of two ranks: 10 us, two steps of 20 us, S bytes at 1 GB/s."""
    rows = [
        Row("gloo", pattern, size, 50e-6 + size / 1e9)
        for pattern in ("send", "all-reduce")
        for size in (1_000, 100_000, 10_000_000)
    ]
    found = fitted(rows)
    assert float(found["efficiency"]) == pytest.approx(0.25, rel=0.01)  # of 4 GB/s


def test_the_command_says_that_there_is_no_gpu():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    answer = CliRunner().invoke(cli, ["calibrate", "--device", "cuda"])
    assert "torch sees no NVIDIA GPU" in str(answer.exception)


def test_grids_never_measure_what_a_study_predicts():
    from calibration.machine.studied import STUDIES  # noqa: PLC0415 - data

    for name in ("cpu", "gpu"):
        measured = [model for model, _ in GRIDS[name].networks]
        assert not [model for model, _ in STUDIES[name] if model in measured]


@pytest.mark.gpu
@needs_gpu
def test_kernels_and_steps_on_a_gpu(tmp_path):
    found = gpu_suite.run(tmp_path, "cuda", "toy", 120.0)
    assert {"eager", "graph"} <= {row["mode"] for row in found["steps"]}
