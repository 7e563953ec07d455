"""Number formats in rate, traffic and memory: fp8 and fixed point."""

import pytest

from models.operators import Linear, Split
from models.work import Share, Work
from simulator.api import run, simulate
from simulator.errors import PlanError
from simulator.job import prepare
from simulator.lowering.formats import optimizer_bytes, optimizer_traffic
from simulator.lowering.passes import layer_passes
from simulator.plan import Plan
from simulator.workload import flatten
from tests.laws.small_plans import plan, table

H100 = "h100-sxm5-80gb"


def kernels(items):
    return [item for item, _ in flatten(tuple(items), "forward") if type(item) is Work]


def in_fixed_point(**training):
    tables = table(device="diannao", precision="fixed16")
    tables["training"] |= training
    return tables


def test_factors_are_cast_and_outputs_are_not():
    # X of 32 x 64 and A of 64 x 128: 2048 + 8192 numbers. Each is read twice in two
    # bytes and written in one; the product reads them in one and writes 4096 in two.
    product = Linear("up", rows=32, inner=64, columns=128, split=Split.COLUMN)
    casts, narrow = product.forward(Share(samples=1, operand=1.0))
    assert casts.size == (2 + 2 + 1) * (2048 + 8192)
    assert narrow.size == 1 * (2048 + 8192) + 2 * 4096
    (plain,) = product.forward(Share(samples=1))
    assert (narrow.flop, narrow.rows, narrow.inner) == (plain.flop, 32, 64)
    assert (narrow.is_narrow, plain.is_narrow) == (True, False)


def test_backward_turns_what_was_cast_before():
    """Y's gradient of 32 x 128 is cast for X's, A is turned: one byte in, one out.

    A's gradient takes both X and Y's gradient turned. Of X gathered from four ranks,
    each casts a quarter.
    """
    product = Linear("up", rows=32, inner=64, columns=128, split=Split.COLUMN)
    share = Share(samples=1, operand=1.0)
    ahead, *_ = product.backward_input(share)
    assert ahead.size == (2 + 2 + 1) * 4096 + 2 * 8192
    behind, *_ = product.backward_weight(share)
    assert behind.size == 2 * (2048 + 4096)
    parts = Share(samples=1, tensor=4, sequence=4, operand=1.0, cast_parts=4)
    gathered, *_ = product.forward(parts)
    assert gathered.size == (2 + 2 + 1) * (2048 / 4 + 8192 / 4)


def test_only_products_with_weights_of_blocks_are_cast():
    model = plan().build_model()
    share = Share(samples=1, operand=1.0)
    head, block = (layer_passes(model.layers[i], share, "none") for i in (-1, 1))
    assert not any(work.is_narrow for work in kernels(head.forward))
    names = [work.name for work in kernels(block.forward) if work.is_narrow]
    assert names == ["qkv F", "projection F", "fc1 F", "fc2 F"]


def test_fp8_changes_rates_and_not_what_is_kept_or_sent():
    choices = {"tensor": 2, "data": 2, "hidden": 2048, "device": H100}
    wide = simulate(plan(**choices, precision="bf16"))
    narrow = simulate(plan(**choices, precision="fp8"))
    assert wide.memory == narrow.memory
    assert wide.ledger == narrow.ledger
    pricer = narrow.job.pricer
    peak = narrow.job.cluster.device.peak
    assert (peak["bf16"], peak["fp8"]) == (pricer.peak, pricer.narrow_peak)


def test_a_large_product_runs_at_the_rate_of_fp8():
    pricer = prepare(plan(device=H100, precision="fp8")).pricer
    product = Linear("up", rows=65536, inner=16384, columns=65536)
    _, narrow = product.forward(Share(samples=1, operand=1.0))
    (plain,) = product.forward(Share(samples=1))
    ratio = pricer.kernel_time(plain) / pricer.kernel_time(narrow)
    # 1979 / 989 of the data sheet; a launch's time is the rest.
    assert ratio == pytest.approx(1979 / 989, rel=1e-3)


def test_engines_agree_in_fp8():
    job = prepare(plan(pipeline=2, data=2, device=H100, precision="fp8", overlap=True))
    one, other = run(job, "analytical").step_time, run(job, "event").step_time
    assert one == pytest.approx(other, rel=1e-9)


def test_fixed_point_keeps_no_master_copy():
    # Per parameter: weight and gradient of two bytes, and two states of two for Adam,
    # where mixed precision keeps a master copy and states of four.
    assert optimizer_bytes("adam", "fixed16") == 4
    assert optimizer_bytes("adam", "fp16") == 12
    # Gradient read (2), weight and momentum read and written (8), gradient cleared (2).
    assert optimizer_traffic("momentum", "fixed16", "fixed16") == 12
    assert optimizer_traffic("momentum", "fp32", "fp32") == 24


def test_a_fixed_point_plan_runs_on_a_device_with_such_a_rate():
    result = simulate(Plan.from_mapping(in_fixed_point(fraction=14)))
    parameters = result.memory.weights / 2
    assert result.memory.gradients == 2 * parameters
    assert result.memory.optimizer == 4 * parameters
    assert result.job.pricer.peak == 452e9
    bare = simulate(Plan.from_mapping(in_fixed_point()))
    assert bare.step_time_s == result.step_time_s


@pytest.mark.parametrize(
    ("training", "device", "problem"),
    [
        ({"precision": "fp8"}, "a100-sxm4-80gb", "does not offer fp8"),
        ({"precision": "fixed16"}, H100, "does not offer fixed16"),
        ({"precision": "bf16", "fraction": 8}, H100, "have no fixed point"),
        (
            {"precision": "fixed16", "gradient_precision": "fp32"},
            "diannao",
            "fixed-point training has one format",
        ),
    ],
)
def test_formats_that_do_not_fit_are_told(training, device, problem):
    tables = table(device=device)
    tables["training"] = training
    with pytest.raises(PlanError, match=problem):
        Plan.from_mapping(tables)


def in_engine_fp8(group="none", **choices):
    tables = table(precision="fp8", device=H100, sequence=True, **choices)
    tables["model"] |= {"kernels": "engine", "attention": "flash", "dropout": False}
    tables["training"]["scale_group"] = group
    return Plan.from_mapping(tables)


def test_gathers_for_products_carry_fp8_and_sums_do_not():
    """Bytes of a block of s tokens and h features over t = 2 tensor ranks.

    Gathered before products: the inputs of qkv and fc1, forward and again backward,
    and the gradients of projection and fc2: 6 of s h, of 2 bytes, or of 1 in fp8.
    Scattered: 4 of s h, forward projection and fc2, backward qkv and fc1, of 2 bytes.
    Embedding and logits gather and scatter in 2 bytes: 3 and 2 of s h.
    """
    sh = 32 * 64
    wide = plan(tensor=2, sequence=True, device=H100, precision="bf16")
    for small, width in ((wide, 2), (in_engine_fp8(tensor=2), 1)):
        rows = {(row.op, row.axis): row.bytes for row in simulate(small).ledger}
        gathered = 6 * width + 3 * 2
        assert rows["all-gather", "tensor"] == 2 * sh * gathered
        assert rows["reduce-scatter", "tensor"] == 2 * sh * (4 + 2) * 2


@pytest.mark.parametrize("topology", ["switch", "ring"])
def test_scales_of_a_stage_are_agreed_on_by_a_tree(topology):
    small = in_engine_fp8("stage", tensor=2, data=2, microbatches=2)
    apart = {"cluster.nodes": 4, "cluster.devices_per_node": 1}
    result = simulate(small.replace({"cluster.network.topology": topology} | apart))
    assert (topology == "ring") == (result.job.located is not None)
    rows, _ = result.messages
    agreed = {row.kind.algorithm for row in rows if row.kind.axis == "stage"}
    assert {"tree"} == agreed


@pytest.mark.parametrize(("group", "groups"), [("tensor", 2), ("stage", 1)])
def test_ranks_agree_on_scales_after_each_pass(group, groups):
    """Each of 2 stages has 1 block of 4 products, and runs 2 micro-batches.

    4 B for 3 numbers a product forward and 2 backward: 48 B and 32 B, by every group
    of the stage's 2 x 2 ranks.
    """
    choices = {"tensor": 2, "data": 2, "pipeline": 2, "microbatches": 2}
    small = in_engine_fp8(group, **choices)
    plain = in_engine_fp8(**choices)
    rows, without = (
        {(row.op, row.axis): (row.bytes, row.count) for row in simulate(each).ledger}
        for each in (small, plain)
    )
    before = without.get(("all-reduce", group), (0, 0))
    size, count = rows["all-reduce", group]
    assert size - before[0] == groups * 2 * 2 * (48 + 32)
    assert count - before[1] == groups * 2 * 2 * 2


@pytest.mark.parametrize("is_folded", [True, False])
def test_engines_agree_where_ranks_agree_on_scales(is_folded):
    choices = {"tensor": 2, "data": 2, "pipeline": 2, "per_node": 4}
    job = prepare(in_engine_fp8("stage", **choices), is_folded=is_folded)
    one, other = run(job, "analytical").step_time, run(job, "event").step_time
    assert one == pytest.approx(other, rel=1e-9)
