"""What torch computes again is what is predicted, to the last FLOP."""

import pytest

torch = pytest.importorskip("torch")

from small_plans import GPT, LLAMA, MIXTURE, plan_of  # noqa: E402
from test_modules import step  # noqa: E402

from calibration.modules import build  # noqa: E402
from calibration.torch_engine.building import drop  # noqa: E402
from simulator.job import prepare  # noqa: E402
from simulator.results.utilization import hardware_flop  # noqa: E402

SHARED = {"model__shared_experts": 1}
FLASH = {"model__attention": "flash"}
CASES = {
    "gpt": (GPT, "full", {"model__dropout": False}),
    "gpt with dropout": (GPT, "full", {}),
    "gpt, scores": (GPT, "selective", {}),
    "llama": (LLAMA, "full", {}),
    "one kernel of attention": (LLAMA, "full", FLASH),
    "experts": (MIXTURE, "full", {}),
    "experts, one of them shared": (MIXTURE, "full", SHARED),
}


@pytest.mark.parametrize("stops", [None, False])
@pytest.mark.parametrize("case", CASES)
def test_flop_of_recomputation_are_those_executed(case, stops):
    """By torch's default recomputation stops early, and so it does by ours."""
    text, recompute, changes = CASES[case]
    plan = plan_of(text, parallelism__recompute=recompute, **changes)
    plan = plan.replace({"cluster.devices_per_node": 1})
    if stops is not None:
        plan = plan.replace({"parallelism.recompute_stops": stops})
    job = prepare(plan)
    network = build(job.model)
    for layer in network.layers:
        drop(layer, plan)
    forward, backward, _ = step(job.model, network, plan.batch.global_)
    assert hardware_flop(job) == forward + backward
