"""What is simulated and not run is refused with its key, before any rank starts."""

import pytest

from calibration.torch_engine.refusals import refuse
from simulator.errors import PlanError
from simulator.plan import Plan

TRANSFORMER = {
    "family": "llama",
    "layers": 4,
    "hidden": 32,
    "heads": 4,
    "feed_forward": 48,
    "sequence_length": 8,
    "vocabulary": 64,
}
EXPERTS = {"experts": 4, "top_k": 1, "expert_feed_forward": 16}


def plan(parallelism, model=(), training=()):
    return Plan.from_mapping(
        {
            "model": TRANSFORMER | dict(model),
            "batch": {"global": 16, "micro": 1},
            "parallelism": parallelism,
            "training": {"precision": "fp32", **dict(training)},
            "cluster": {
                "device": "v100",
                "nodes": 1,
                "devices_per_node": 4,
                "fabric": "nvlink-2",
            },
        }
    )


DIVIDED = {"pipeline": 2, "zero": 3}
CASES = {
    "parallelism.reshard": plan(DIVIDED | {"schedule": "zb-h1"}),
    "parallelism.reduce_each": plan(DIVIDED | {"reduce_each": True}),
    "parallelism.zero": plan(
        DIVIDED | {"schedule": "zb-v", "reshard": False},
        {"family": "gpt", "feed_forward": 128},
    ),
    "parallelism.expert_imbalance": plan(
        {"expert": 2, "expert_imbalance": 1.5}, EXPERTS
    ),
    "parallelism.expert_tensor": plan(
        {"tensor": 2, "sequence": True, "expert": 2, "expert_tensor": 1}, EXPERTS
    ),
    "model.sequence_length": plan(
        {"context": 4, "context_balanced": False, "expert": 2}, EXPERTS
    ),
    "parallelism.tensor": plan({"tensor": 4}, {"kv_heads": 2}),
    "parallelism.recompute": plan(
        {"pipeline": 4, "schedule": "zb-h1", "recompute": "full"}
    ),
    "parallelism.overlap_passes": plan(
        {"pipeline": 2, "tensor": 2, "schedule": "dualpipe"}
    ),
    "training.optimizer": plan({"zero": 1}, training={"optimizer": "lbfgs"}),
}


@pytest.mark.parametrize("key", CASES)
def test_what_is_not_run_is_refused_with_its_key(key):
    with pytest.raises(PlanError) as caught:
        refuse(CASES[key])
    assert [fault.key for fault in caught.value.faults] == [key]


@pytest.mark.parametrize("is_balanced", [True, False])
def test_pieces_from_either_end_balance_the_routes_of_four_experts(is_balanced):
    """Tokens 0 1 6 7 of eight go to experts 0 1 2 3, one each; tokens 0 1 2 3 too.

    Of four ranks each has two tokens, which never reach four experts.
    """
    mesh = {"context": 2, "context_balanced": is_balanced}
    refuse(plan(mesh | {"expert": 2}, EXPERTS))
