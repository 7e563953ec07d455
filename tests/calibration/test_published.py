"""Golden: the errors on the committed measurements stay as small as they are.

The bounds are a tenth or more above what was reached when they were set, and may be
tightened by anyone. They are on rows that no constant was fitted on; that is not
blind, because the model's form was chosen by people who saw these errors. SC21 and
Korthikanti cannot both be met: the same two models on the same machine are 8 to 10 %
apart between them. BigScience's is met with one row of 28 %, which its file explains.
The bound of GPipe, whose tables no pipeline explains, is only there to notice a change.
No form of the model was chosen on the last twenty-one, but for the whole experts and
the sorting of megatron-moe-h100, which its sources made necessary; the settings of the
last thirteen were written before their first score, which their files tell.
"""

from pathlib import Path

import pytest

from calibration.scoring.score import score_files

pytestmark = pytest.mark.xdist_group("published")  # one worker prepares for all
FOLDER = Path(__file__).parents[2] / "calibration" / "published"

BOUNDS = {  # rows outside the fit, MAPE and size of the bias
    "vtrain-a100-multi": (24, 0.075, 0.03),
    "vtrain-a100-single": (160, 0.065, 0.01),
    "megatron-sc21-table1": (10, 0.046, 0.032),
    "megatron-sc21-table2": (6, 0.058, 0.058),
    "korthikanti-table5": (8, 0.023, 0.023),
    "bigscience-a100": (105, 0.05, 0.03),
    "llm-foundry-a100": (61, 0.087, 0.087),
    "krizhevsky-2014": (5, 0.03, 0.03),
    "coates-2013": (1, 0.09, 0.09),
    "zero-bubble": (54, 0.0235, 0.01),
    "deepbench-allreduce": (116, 0.05, 0.015),
    "nccl-allreduce-a100": (22, 0.07, 0.04),
    "nccl-tests": (64, 0.075, 0.035),
    "tc-shaped-sync": (38, 0.09, 0.025),
    "simumax-b200": (20, 0.043, 0.013),
    "llm-foundry-h100": (69, 0.034, 0.02),
    "mlperf-gpt3-h100": (4, 0.076, 0.076),
    "mlperf-llama-h100": (4, 0.01, 0.01),
    "torchtitan": (16, 0.093, 0.079),
    "tensorflow-2017": (95, 0.045, 0.035),
    "mxnet-p2": (15, 0.02, 0.01),
    "theano-mpi": (13, 0.03, 0.015),
    "torchgpipe-amoebanet": (7, 0.075, 0.07),
    "gpipe": (20, 0.17, 0.03),
    "megatron-2020": (12, 0.093, 0.02),
    "megatron-core-h100": (7, 0.064, 0.033),
    "megascale-a100": (2, 0.106, 0.106),
    "flash-gpt-a100": (5, 0.105, 0.02),
    "nemo-2407-h100": (6, 0.108, 0.108),
    "megatron-bridge-llama": (4, 0.112, 0.112),
    "pytorch-ddp-v100": (12, 0.064, 0.064),
    "nvidia-resnet50": (20, 0.077, 0.077),
    "dlperf-v100": (36, 0.132, 0.132),
    "dlperf-gpt-v100": (17, 0.116, 0.057),
    "horovod-2017": (8, 0.138, 0.136),
    "cscs-2017": (7, 0.07, 0.045),
    "tensorpack": (12, 0.092, 0.092),
    "torchgpipe-unet": (6, 0.154, 0.154),
    "torchgpipe-resnet101": (5, 0.143, 0.143),
    "large-runs-a100": (9, 0.2, 0.2),
    "llama3-405b-h100": (2, 0.011, 0.011),
    "fms-fsdp": (6, 0.044, 0.036),
    "kempner-h200": (14, 0.138, 0.057),
    "deepspeed-azure": (8, 0.121, 0.121),
    "megatron-moe-h100": (7, 0.143, 0.08),
}
MEMORY = {  # a quantity; rows outside the fit that have it, MAPE
    "simumax-b200": ("memory_allocated_bytes", 6, 0.01),
    "bigscience-a100": ("memory_peak_bytes", 70, 0.14),
    "torchtitan": ("memory_reserved_bytes", 9, 0.035),
}
NEARLY_FULL = {  # rows that ran, predicted up to 4 % above the device's memory
    "llm-foundry-h100": {
        "mpt-bf16-3b-g8-s8192-b144",
        "mpt-bf16-1b-g64-s2048-b1280",
        "mpt-bf16-1b-g32-s2048-b640",
        "mpt-bf16-1b-g16-s2048-b320",
        "mpt-fp8-3b-g8-s8192-b144",
    },
}
TOO_LARGE = {  # rows that ran, of which a plan has no word for what made room
    "large-runs-a100": {"opt-175b"},  # tensor ranks divide the inputs that are kept
    "kempner-h200": {"01-1gpu-7b-tp1-dp1"},  # the optimizer's state is in bf16
    # tensors were freed by hand as soon as nothing read them: 20 and 30 % above here
    "llama3-405b-h100": {"llama3-405b-8192", "llama3-405b-16384"},
}
COLLECTIVES = {  # messages of 1 MB and more, outside the fit: median and p90 of |error|
    "deepbench-allreduce": (0.035, 0.105),
    "nccl-allreduce-a100": (0.04, 0.15),
    "nccl-tests": (0.05, 0.18),
    "tc-shaped-sync": (0.08, 0.17),
}


@pytest.fixture(scope="module")
def scores():
    report = score_files([FOLDER])
    return {Path(score.file.path).stem: score for score in report.files}


def test_every_file_has_a_bound(scores):
    assert scores.keys() == BOUNDS.keys()


@pytest.mark.parametrize("name", BOUNDS)
def test_errors_stay_small(scores, name):
    rows, mape, bias = BOUNDS[name]
    errors = scores[name].errors
    assert errors.rows == rows
    assert errors.mape <= mape
    assert abs(errors.bias) <= bias


@pytest.mark.parametrize("name", COLLECTIVES)
def test_collectives_are_predicted_within_eight_and_twenty_per_cent(scores, name):
    median, p90 = COLLECTIVES[name]
    assert median <= 0.08
    assert p90 <= 0.20
    assert scores[name].errors.median <= median
    assert scores[name].errors.p90 <= p90


@pytest.mark.parametrize("name", BOUNDS)
def test_every_row_has_a_valid_plan(scores, name):
    assert scores[name].invalid == []


@pytest.mark.parametrize("name", BOUNDS)
def test_no_row_that_ran_is_said_not_to_fit(scores, name):
    said = {score.row.id for score in scores[name].too_large}
    assert said <= NEARLY_FULL.get(name, set()) | TOO_LARGE.get(name, set())


@pytest.mark.parametrize("name", ["vtrain-a100-multi", "vtrain-a100-single"])
def test_published_simulators_are_beaten(scores, name):
    ours = scores[name].errors.mape
    others = {b.baseline.name: b.mape for b in scores[name].baselines}
    assert others.keys() == {"vTrain, published", "Calculon, stock", "constant MFU"}
    assert all(ours < mape for mape in others.values())


def test_fitting_did_not_memorize(scores):
    for name in ("vtrain-a100-multi", "vtrain-a100-single"):
        score = scores[name]
        assert score.errors.mape <= 1.5 * score.fit_errors.mape


@pytest.mark.parametrize("name", MEMORY)
def test_memory_is_near_what_torch_counted(scores, name):
    quantity, rows, mape = MEMORY[name]
    errors = scores[name].other_errors()[quantity]
    assert errors.rows == rows
    assert errors.mape <= mape
