"""Golden: the errors on the committed measurements stay as small as they are.

The bounds are a tenth or more above what was reached when they were set, and may be
tightened by anyone. They are on rows that no constant was fitted on; that is not
blind, because the model's form was chosen by people who saw these errors. SC21 and
Korthikanti cannot both be met: the same two models on the same machine are 8 to 10 %
apart between them. BigScience's is met with one row of 28 %, which its file explains.
The bound of GPipe, whose tables no pipeline explains, is only there to notice a change.
"""

from pathlib import Path

import pytest

from calibration.score import score_files

FOLDER = Path(__file__).parents[2] / "calibration" / "published"

BOUNDS = {  # rows outside the fit, MAPE and size of the bias
    "vtrain-a100-multi": (24, 0.075, 0.03),
    "vtrain-a100-single": (160, 0.063, 0.01),
    "megatron-sc21-table1": (10, 0.06, 0.045),
    "korthikanti-table5": (8, 0.025, 0.01),
    "bigscience-a100": (105, 0.05, 0.03),
    "krizhevsky-2014": (5, 0.03, 0.03),
    "coates-2013": (1, 0.09, 0.09),
    "zero-bubble": (54, 0.0235, 0.01),
    "deepbench-allreduce": (116, 0.05, 0.015),
    "nccl-allreduce-a100": (22, 0.07, 0.04),
    "nccl-tests": (64, 0.075, 0.035),
    "tc-shaped-sync": (38, 0.09, 0.025),
    "tensorflow-2017": (95, 0.045, 0.035),
    "mxnet-p2": (15, 0.02, 0.01),
    "theano-mpi": (13, 0.03, 0.015),
    "torchgpipe-amoebanet": (7, 0.075, 0.07),
    "gpipe": (20, 0.17, 0.03),
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
    assert [score.row.id for score in scores[name].too_large] == []


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
