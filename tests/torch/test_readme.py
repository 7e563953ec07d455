"""The session that README shows, run again: times differ, what is sent does not."""

from pathlib import Path

import pytest

pytest.importorskip("torch.distributed")

from small_plans import Worlds
from test_splits import ROUNDING
from test_verbs import called

from calibration.torch_engine.reference import deviation
from calibration.torch_engine.task import ledger_of
from simulator import simulate
from simulator.plan import Plan

ROOT = Path(__file__).parents[2]
PLAN = ROOT / "plans" / "gpt-small-2cpu.toml"


def test_the_ledger_in_the_readme_is_what_the_plan_sends(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    name = PLAN.relative_to(ROOT).as_posix()
    code, out, _ = called(capsys, "validate", name, "--steps", "1")
    assert code == 0
    shown = out[out.index("ledger: equal") :].strip()
    readme = (ROOT / "README.md").read_text("utf-8")
    assert f"simulate validate {name}" in readme
    assert shown in readme


def test_the_plan_in_the_readme_learns_what_one_process_learns():
    """With momentum: Adam makes whole steps of gradients that are nothing but rounding.

    Those of the biases of keys are, as they move all scores of a query alike.
    """
    given = Plan.load(PLAN)
    plan = given.replace({"training.optimizer": "momentum"})
    worlds = Worlds()
    try:
        reports, right = worlds.trained(plan)
    finally:
        worlds.close()
    assert max(deviation(each.learnt, right) for each in reports) < ROUNDING
    assert simulate(plan).ledger == ledger_of(reports)
