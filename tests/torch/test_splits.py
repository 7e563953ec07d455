"""Every split for real: it learns what one process learns, and sends what is predicted.

The ledger counts what reached torch's dispatcher; the prediction knows the plan only.
"""

import pytest

torch = pytest.importorskip("torch")

from small_plans import GPT, LLAMA, MIXTURE, MLP, Worlds, plan_of  # noqa: E402

from calibration.torch_engine.reference import deviation  # noqa: E402
from calibration.torch_engine.task import ledger_of  # noqa: E402
from simulator import simulate  # noqa: E402

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
    "experts of two stages in buckets, zb-v": (
        MIXTURE,
        {
            "model__layers": 4,
            "cluster__devices_per_node": 4,
            "parallelism__expert": 2,
            "parallelism__pipeline": 2,
            "parallelism__schedule": "zb-v",
            "synchronization__bucket": "20 kB",
        },
    ),
    "experts x tensor": (
        MIXTURE,
        {
            "cluster__devices_per_node": 4,
            "parallelism__expert": 2,
            "parallelism__tensor": 2,
        },
    ),
    "experts x sequence, recomputed": (
        MIXTURE,
        {
            "cluster__devices_per_node": 4,
            "parallelism__expert": 2,
            "parallelism__tensor": 2,
            "parallelism__sequence": True,
            "parallelism__recompute": "full",
        },
    ),
    "experts whose features tensor ranks divide": (
        MIXTURE,
        {"parallelism__tensor": 2, "parallelism__sequence": True},
    ),
    "experts x optimizer": (
        MIXTURE,
        {
            "cluster__devices_per_node": 4,
            "parallelism__expert": 2,
            "parallelism__zero": 1,
        },
    ),
    "experts x states x sequence": (
        MIXTURE,
        {
            "cluster__devices_per_node": 8,
            "parallelism__expert": 2,
            "parallelism__tensor": 2,
            "parallelism__sequence": True,
            "parallelism__zero": 3,
        },
    ),
    "experts x states, each expert on one rank": (
        MIXTURE,
        {"parallelism__expert": 2, "parallelism__zero": 3},
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
    "states of no parts, over two copies": (
        LLAMA,
        {"parallelism__zero": 3, "parallelism__shard": 1},
    ),
    "states x pipeline, dropped after forward": (
        GPT,
        {
            "cluster__devices_per_node": 4,
            "parallelism__zero": 3,
            "parallelism__pipeline": 2,
        },
    ),
    "states of both stages, zb-v": (
        LLAMA,
        {
            "model__layers": 4,
            "batch__micro": 1,
            "cluster__devices_per_node": 4,
            "parallelism__zero": 3,
            "parallelism__reshard": False,
            "parallelism__pipeline": 2,
            "parallelism__schedule": "zb-v",
        },
    ),
    "data x pipeline, gpipe": (
        GPT,
        {
            "cluster__devices_per_node": 4,
            "parallelism__pipeline": 2,
            "parallelism__schedule": "gpipe",
        },
    ),
    "data x pipeline, zb-h1": (
        GPT,
        {
            "cluster__devices_per_node": 4,
            "parallelism__pipeline": 2,
            "parallelism__schedule": "zb-h1",
            "synchronization__bucket": "20 kB",
        },
    ),
    "pipeline, both ways": (
        GPT,
        {
            "cluster__devices_per_node": 4,
            "parallelism__pipeline": 4,
            "parallelism__schedule": "dualpipe",
        },
    ),
    "pipeline, both ways x data": (
        GPT,
        {
            "cluster__devices_per_node": 4,
            "parallelism__pipeline": 2,
            "parallelism__schedule": "dualpipe",
            "synchronization__bucket": "20 kB",
        },
    ),
    "pipeline, both ways x states": (
        LLAMA,
        {
            "batch__micro": 1,
            "cluster__devices_per_node": 4,
            "parallelism__zero": 3,
            "parallelism__reshard": False,
            "parallelism__pipeline": 2,
            "parallelism__schedule": "dualpipe",
        },
    ),
    "data, whole gradients for lbfgs": (MLP, {"training__optimizer": "lbfgs"}),
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
