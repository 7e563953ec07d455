"""Every split for real: it learns what one process learns, and sends what is predicted.

The ledger counts what reached torch's dispatcher; the prediction knows the plan only.
"""

import pytest

torch = pytest.importorskip("torch")

from small_plans import GPT, LLAMA, MIXTURE, MLP, Worlds, plan_of  # noqa: E402

from calibration.torch_engine.reference import deviation  # noqa: E402
from calibration.torch_engine.refusals import refuse  # noqa: E402
from calibration.torch_engine.task import ledger_of  # noqa: E402
from simulator import simulate  # noqa: E402
from simulator.errors import PlanError  # noqa: E402

# Four steps in fp32, whose sums are taken in other orders: a few roundings (1.2e-7)
# of the largest number of a tensor.
ROUNDING = 5e-6

CASES = {
    "data": (MLP, {}),
    "data, small buckets": (GPT, {"synchronization__bucket": "20 kB"}),
    "data, at the end": (MLP, {"synchronization__overlap": False}),
    "data, 4 replicas of convex buckets": (
        MLP,
        {"cluster__devices_per_node": 4, "synchronization__bucket": "1 kB"},
    ),
    "tensor": (GPT, {"parallelism__tensor": 2}),
    "tensor of a perceptron": (MLP, {"parallelism__tensor": 2}),
    "tensor, grouped queries": (LLAMA, {"parallelism__tensor": 2}),
    "sequence": (GPT, {"parallelism__tensor": 2, "parallelism__sequence": True}),
    "sequence, recomputed": (
        LLAMA,
        {
            "parallelism__tensor": 2,
            "parallelism__sequence": True,
            "parallelism__recompute": "full",
        },
    ),
    "pipeline, 1f1b": (GPT, {"parallelism__pipeline": 2}),
    "pipeline, gpipe": (
        GPT,
        {
            "cluster__devices_per_node": 4,
            "parallelism__pipeline": 4,
            "parallelism__schedule": "gpipe",
        },
    ),
    "pipeline, interleaved": (
        GPT,
        {
            "parallelism__pipeline": 2,
            "parallelism__schedule": "interleaved",
            "parallelism__virtual_stages": 2,
        },
    ),
    "pipeline, zb-h1": (
        GPT,
        {"parallelism__pipeline": 2, "parallelism__schedule": "zb-h1"},
    ),
    "pipeline, zb-v": (
        GPT,
        {"parallelism__pipeline": 2, "parallelism__schedule": "zb-v"},
    ),
    "pipeline, recomputed": (
        GPT,
        {"parallelism__pipeline": 2, "parallelism__recompute": "selective"},
    ),
    "data x tensor": (
        GPT,
        {
            "cluster__devices_per_node": 4,
            "parallelism__tensor": 2,
            "synchronization__bucket": "20 kB",
        },
    ),
    "data x sequence": (
        GPT,
        {
            "cluster__devices_per_node": 4,
            "parallelism__tensor": 2,
            "parallelism__sequence": True,
            "synchronization__bucket": "10 kB",
        },
    ),
    "data x pipeline": (
        GPT,
        {
            "cluster__devices_per_node": 4,
            "parallelism__pipeline": 2,
            "synchronization__bucket": "20 kB",
        },
    ),
    "tensor x pipeline": (
        GPT,
        {
            "cluster__devices_per_node": 4,
            "parallelism__tensor": 2,
            "parallelism__pipeline": 2,
        },
    ),
    "pipeline, first block of each stage recomputed": (
        GPT,
        {
            "parallelism__pipeline": 2,
            "parallelism__layers": [
                {"match": "block", "stage_blocks": "0", "recompute": "full"}
            ],
        },
    ),
    "experts": (MIXTURE, {"parallelism__expert": 2}),
    "experts, those of one block on every rank": (
        MIXTURE,
        {
            "parallelism__expert": 2,
            "parallelism__layers": [{"match": "block", "blocks": "0", "expert": 1}],
        },
    ),
    "experts, each on two of four ranks": (
        MIXTURE,
        {
            "cluster__devices_per_node": 4,
            "parallelism__expert": 2,
            "synchronization__bucket": "10 kB",
        },
    ),
    "experts x pipeline": (
        MIXTURE,
        {
            "cluster__devices_per_node": 4,
            "parallelism__expert": 2,
            "parallelism__pipeline": 2,
            "synchronization__overlap": False,
        },
    ),
    "context": (
        LLAMA,
        {"parallelism__context": 2, "parallelism__context_method": "all-gather"},
    ),
    "context, a ring in one block and gathered in others": (
        LLAMA,
        {
            "parallelism__context": 2,
            "parallelism__layers": [
                {"match": "block", "blocks": "1:", "context_method": "all-gather"}
            ],
        },
    ),
    "context, a block of whole samples": (
        LLAMA,
        {
            "parallelism__context": 2,
            "parallelism__layers": [{"match": "block", "blocks": "0", "context": 1}],
        },
    ),
    "context around a ring of two": (LLAMA, {"parallelism__context": 2}),
    "context around a ring of four": (
        LLAMA,
        {"cluster__devices_per_node": 4, "parallelism__context": 4},
    ),
    "context x data x tensor": (
        LLAMA,
        {
            "cluster__devices_per_node": 8,
            "parallelism__context": 2,
            "parallelism__context_method": "all-gather",
            "parallelism__tensor": 2,
        },
    ),
    "context of experts in a pipeline": (
        MIXTURE,
        {
            "cluster__devices_per_node": 4,
            "parallelism__context": 2,
            "parallelism__context_method": "all-gather",
            "parallelism__expert": 2,
            "parallelism__pipeline": 2,
        },
    ),
    "optimizer": (GPT, {"parallelism__zero": 1}),
    "optimizer x tensor": (
        LLAMA,
        {
            "cluster__devices_per_node": 4,
            "parallelism__zero": 1,
            "parallelism__tensor": 2,
        },
    ),
    "gradients": (GPT, {"parallelism__zero": 2, "synchronization__bucket": "20 kB"}),
    "gradients, reduced once at the end": (
        MLP,
        {
            "parallelism__zero": 2,
            "parallelism__reduce_each": False,
            "synchronization__overlap": False,
        },
    ),
    "gradients of three ranks' uneven buckets, gathered in the forward": (
        MLP,
        {
            "batch__global": 18,
            "cluster__devices_per_node": 3,
            "parallelism__zero": 2,
            "parallelism__overlap_gather": True,
            "synchronization__bucket": "4 kB",
        },
    ),
    "gradients over half of the replicas": (
        GPT,
        {
            "cluster__devices_per_node": 4,
            "parallelism__zero": 2,
            "parallelism__shard": 2,
            "synchronization__bucket": "20 kB",
        },
    ),
    "gradients x sequence": (
        LLAMA,
        {
            "cluster__devices_per_node": 4,
            "parallelism__zero": 2,
            "parallelism__tensor": 2,
            "parallelism__sequence": True,
            "synchronization__bucket": "10 kB",
        },
    ),
    "gradients x context": (
        LLAMA,
        {
            "cluster__devices_per_node": 4,
            "parallelism__zero": 2,
            "parallelism__context": 2,
            "synchronization__bucket": "10 kB",
        },
    ),
    "states": (GPT, {"parallelism__zero": 3}),
    "states of untied tables": (LLAMA, {"parallelism__zero": 3}),
    "states, gathered once, reduced once": (
        LLAMA,
        {
            "parallelism__zero": 3,
            "parallelism__reshard": False,
            "parallelism__reduce_each": False,
        },
    ),
    "states but for those of one block": (
        GPT,
        {
            "parallelism__zero": 3,
            "parallelism__layers": [{"match": "block", "blocks": "0", "zero": 0}],
        },
    ),
    "states of blocks alone, one of which stays gathered": (
        LLAMA,
        {
            "cluster__devices_per_node": 4,
            "parallelism__zero": 3,
            "parallelism__shard": 2,
            "parallelism__layers": [
                {"match": "embedding", "zero": 0},
                {"match": "head", "zero": 0},
                {"match": "block", "blocks": "0", "reshard": False},
            ],
        },
    ),
    "states of a perceptron": (MLP, {"parallelism__zero": 3}),
    "states of rows that four ranks do not divide": (
        MLP,
        {"cluster__devices_per_node": 4, "parallelism__zero": 3},
    ),
    "states of uneven rows x tensor, over three": (
        GPT,
        {
            "model__hidden": 40,
            "model__vocabulary": 44,
            "cluster__devices_per_node": 6,
            "parallelism__zero": 3,
            "parallelism__tensor": 2,
            "batch__global": 6,
        },
    ),
    "states over half of the replicas": (
        GPT,
        {
            "cluster__devices_per_node": 4,
            "parallelism__zero": 3,
            "parallelism__shard": 2,
        },
    ),
    "states x sequence": (
        LLAMA,
        {
            "cluster__devices_per_node": 4,
            "parallelism__zero": 3,
            "parallelism__tensor": 2,
            "parallelism__sequence": True,
        },
    ),
    "data x tensor x pipeline": (
        GPT,
        {
            "cluster__devices_per_node": 8,
            "parallelism__tensor": 2,
            "parallelism__pipeline": 2,
        },
    ),
}


@pytest.fixture(scope="module")
def worlds():
    found = Worlds()
    yield found
    found.close()


@pytest.mark.parametrize("case", CASES)
def test_a_split_learns_the_same_and_sends_what_is_predicted(worlds, case):
    text, changes = CASES[case]
    plan = plan_of(text, **changes)
    reports, right = worlds.trained(plan)
    for report in reports:
        assert deviation(report.learnt, right) < ROUNDING
    learnt = {name for report in reports for name in report.learnt}
    assert set(right) - learnt <= {"layers.5.logits.weight"}  # it may be the embedding
    assert simulate(plan).ledger == ledger_of(reports)


def test_gradients_can_be_sent_in_half_precision(worlds):
    """DDP's compression: 11944 bytes of fp32 gradients become 5972.

    What is learnt differs by the rounding of fp16, 2^-11 of each gradient.
    """
    plan = plan_of(MLP, training__gradient_precision="fp16")
    reports, right = worlds.trained(plan)
    assert max(deviation(report.learnt, right) for report in reports) < 1e-3
    (row,) = ledger_of(reports)
    assert (row.op, row.axis, row.bytes, row.count) == ("all-reduce", "data", 5972, 1)
    assert simulate(plan).ledger == (row,)


@pytest.mark.parametrize(
    ("changes", "rule", "problem"),
    [
        ({"parallelism__zero": 1}, {"zero": 0}, "0 beside zero = 1"),
        ({"parallelism__zero": 3}, {"zero": 1}, "1 beside zero = 3"),
        (
            {"parallelism__zero": 3, "training__precision": "fp16"},
            {"zero": 0},
            "0, with parameters in fp32 beside others that are gathered in fp16",
        ),
        (
            {
                "cluster__devices_per_node": 4,
                "parallelism__context": 2,
                "parallelism__tensor": 2,
                "parallelism__sequence": True,
            },
            {"context": 1},
            "whole samples beside sequence parallelism",
        ),
    ],
)
def test_choices_for_layers_that_are_not_run_are_refused(changes, rule, problem):
    plan = plan_of(
        LLAMA,
        **changes,
        parallelism__layers=[{"match": "block", "blocks": "0", **rule}],
    )
    with pytest.raises(PlanError) as caught:
        refuse(plan)
    (fault,) = caught.value.faults
    (key,) = rule.keys() - {"match", "blocks"}
    assert fault.key == f"parallelism.layers[0].{key}"
    assert fault.problem.startswith(problem)
