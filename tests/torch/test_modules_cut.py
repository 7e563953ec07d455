"""Modules that are cut between layers, divided by tensor ranks, or recomputed."""

from copy import deepcopy

import pytest

torch = pytest.importorskip("torch")

from calibration.modules import (  # noqa: E402
    Part,
    build,
    example_batch,
    loss,
    materialise,
    place_tokens,
)
from models.catalogue import build as table  # noqa: E402
from models.operators import Split  # noqa: E402
from models.wiring import INPUT, PREVIOUS  # noqa: E402

DIMENSIONS = {
    "layers": 3,
    "hidden": 16,
    "heads": 4,
    "sequence_length": 8,
    "vocabulary": 32,
}
GATED = DIMENSIONS | {"feed_forward": 24}
LATENT = {"kv_rank": 8, "plain_width": 4, "rotary_width": 2, "value_width": 6}
CASES = {
    "gpt": ("gpt", DIMENSIONS),
    "bert": ("bert", DIMENSIONS),
    "llama": ("llama", GATED | {"kv_heads": 2}),
    "mixture of experts": ("llama", GATED | {"experts": 4, "top_k": 2}),
    "latent attention": ("llama", GATED | LATENT | {"query_rank": 6}),
}


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def model(request):
    return table(*request.param)


def divided(module, operator, rank, degree):
    """Return the module with the part of its weight that a tensor rank holds."""
    module = deepcopy(module)
    if operator.split not in {Split.COLUMN, Split.ROW}:
        return module
    weight = module.weight.detach()
    outputs, inputs = (0, 1) if weight.dim() == 2 else (2, 1)
    is_column = operator.split is Split.COLUMN
    part = weight.chunk(degree, outputs if is_column else inputs)[rank]
    module.weight = torch.nn.Parameter(part.contiguous())
    if getattr(module, "bias", None) is not None:
        bias = module.bias.detach()
        # One rank of a row split adds the bias to the sum.
        own = bias.chunk(degree)[rank] if is_column else bias * (rank == 0)
        module.bias = torch.nn.Parameter(own)
    return module


def run_divided(layer, inputs, degree):
    """Run a layer on tensor ranks in step; what a row split puts out is summed."""
    ranks = [{INPUT: inputs, PREVIOUS: inputs} for _ in range(degree)]
    for step in layer.steps:
        operator = step.operator
        outputs = []
        for rank, values in enumerate(ranks):
            module = layer.get_submodule(step.module)
            module = divided(module, operator, rank, degree)
            outputs.append(module(*(values[name] for name in step.reads)))
        if operator.split is Split.ROW:
            outputs = [sum(outputs)] * degree
        for values, output in zip(ranks, outputs, strict=True):
            values[operator.name] = values[PREVIOUS] = output
    return [values[PREVIOUS] for values in ranks]


def test_contiguous_parts_of_split_weights_give_the_block(model):
    block = build(model).layers[1]
    inputs = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(1))
    expected = block(inputs)
    for output in run_divided(block, inputs, degree=2):
        torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)


def test_parts_in_a_row_are_the_network(model):
    whole = build(model, seed=5)
    inputs, _ = example_batch(model, 2)
    cuts = (range(2), range(2, len(model.layers)))
    parts = [Part(build(model, device="meta"), cut) for cut in cuts]
    values = inputs
    for part in parts:
        materialise(part, "cpu", seed=5)
        values = part(values)
    expected = whole(inputs)
    values, expected = (
        each if isinstance(each, tuple) else (each,) for each in (values, expected)
    )
    for one, other in zip(values, expected, strict=True):
        assert torch.equal(one, other)


def test_parts_have_the_names_of_the_whole(model):
    whole = build(model, device="meta")
    names = [
        name
        for cut in (range(2), range(2, len(model.layers)))
        for name, _ in Part(whole, cut).named_parameters()
    ]
    # A tied weight goes by a second name where its table is in another part.
    tied = [name for name in names if name.endswith("logits.weight")]
    expected = [name for name, _ in whole.named_parameters()]
    assert expected == [n for n in names if n in expected or n not in tied]


def test_tokens_of_one_context_rank_are_told_their_places():
    embedding = build(table("gpt", DIMENSIONS)).layers[0]
    tokens = torch.arange(8)[None]
    expected = embedding(tokens)[:, 4:]
    place_tokens(embedding, torch.arange(4, 8))
    assert torch.equal(expected, embedding(tokens[:, 4:]))


def test_rotation_is_by_place():
    layout = build(table("llama", GATED)).layers[1].qkv_layout
    columns = torch.randn(1, 8, 48, generator=torch.Generator().manual_seed(1))
    expected = [heads[:, :, 4:] for heads in layout(columns)]
    place_tokens(layout, torch.arange(4, 8))
    for whole, part in zip(expected, layout(columns[:, 4:]), strict=True):
        assert torch.equal(whole, part)


@pytest.mark.parametrize(("family", "is_causal"), [("gpt", True), ("bert", False)])
def test_only_a_causal_network_hides_later_tokens(family, is_causal):
    network = build(table(family, DIMENSIONS))
    tokens = torch.arange(8)[None]
    changed = tokens.clone()
    changed[0, 7] = 31
    logits = [network(each) for each in (tokens, changed)]
    before, after = (
        (each[0] if isinstance(each, tuple) else each)[:, :7] for each in logits
    )
    assert is_causal is torch.equal(before, after)


def test_one_kernel_of_attention_computes_what_several_do():
    several, one = (
        build(table("llama", GATED | {"kv_heads": 2, "attention": attention}))
        for attention in ("materialized", "flash")
    )
    tokens = torch.arange(8)[None]
    torch.testing.assert_close(several(tokens), one(tokens), rtol=1e-4, atol=1e-5)


def gradients(network, model):
    inputs, targets = example_batch(model, 2)
    loss(model)(network(inputs), targets).backward()
    return [parameter.grad for parameter in network.parameters()]


def test_recomputing_the_core_of_attention_changes_no_gradient():
    model = table("gpt", DIMENSIONS)
    kept, repeated = build(model), build(model)
    for layer in repeated.layers:
        layer.recomputes_core = True
    pairs = zip(gradients(kept, model), gradients(repeated, model), strict=True)
    for expected, actual in pairs:
        torch.testing.assert_close(actual, expected)


def test_a_routed_token_counts_once():
    # With one expert of all equal weights, dispatch and combine give every token the
    # gated product of itself, whatever the order in which rows were copied.
    model = table("llama", GATED | {"layers": 1, "experts": 4, "top_k": 2})
    block = build(model).layers[1]
    with torch.no_grad():
        for module in (block.experts_gate_up, block.experts_down):
            module.weight.copy_(module.weight[:1].expand_as(module.weight).clone())
    tokens = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(1))
    routes = block.routing(block.router(tokens))
    rows = block.dispatch(tokens, routes)
    rows = block.experts_swiglu(block.experts_gate_up(rows), routes)
    actual = block.combine(block.experts_down(rows), routes)
    one_up, one_down = block.experts_gate_up.weight[0], block.experts_down.weight[0]
    expected = block.experts_swiglu(tokens @ one_up) @ one_down
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
