"""What is predicted is what is executed: torch modules against the layer table."""

import pytest

torch = pytest.importorskip("torch")

from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from calibration.modules import build, example_batch, loss  # noqa: E402
from models.catalogue import build as table  # noqa: E402
from models.tensors import layer_tensors, tensors  # noqa: E402

SAMPLES = 3
DIMENSIONS = {
    "layers": 2,
    "hidden": 16,
    "heads": 4,
    "sequence_length": 8,
    "vocabulary": 32,
}
GATED = DIMENSIONS | {"feed_forward": 24}
LATENT = {"kv_rank": 8, "plain_width": 4, "rotary_width": 2, "value_width": 6}
CASES = {
    "mlp": ("mlp", {"widths": [6, 8, 4]}),
    "gpt": ("gpt", DIMENSIONS),
    "gpt with flash attention": ("gpt", DIMENSIONS | {"attention": "flash"}),
    "bert": ("bert", DIMENSIONS),
    "llama": ("llama", GATED | {"kv_heads": 2}),
    "llama with its scores kept": ("llama", GATED | {"attention": "materialized"}),
    "mixture of experts": (
        "llama",
        GATED | {"experts": 4, "top_k": 2, "shared_experts": 1, "dense_layers": 1},
    ),
    "latent attention": ("llama", GATED | LATENT | {"query_rank": 6}),
    "latent attention, full queries": ("llama", GATED | LATENT | {"query_rank": 0}),
}


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def model(request):
    return table(*request.param)


def step(model, network, samples=SAMPLES):
    """Return FLOP of the forward pass, FLOP of the backward pass, and the loss.

    The counter of torch 2.13 knows the two products of plain attention and not the
    CPU's fused kernel, so attention runs plainly here.
    """
    inputs, targets = example_batch(model, samples)
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    with sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as forward:
            outputs = network(*inputs)
        value = loss(model)(outputs, targets)
        with FlopCounterMode(display=False) as backward:
            value.backward()
    return forward.get_total_flops(), backward.get_total_flops(), value


def test_a_layer_has_as_many_parameters_as_its_row(model):
    network = build(model)
    owned = set()
    for row, layer in zip(model.layers, network.layers, strict=True):
        own = {id(p): p.numel() for p in layer.parameters() if id(p) not in owned}
        owned |= set(own)
        assert row.parameters == sum(own.values())
    assert model.parameters == sum(p.numel() for p in network.parameters())


def test_a_layer_has_the_tensors_of_its_row_in_their_order(model):
    network = build(model, device="meta")
    owned = set()
    for row, layer in zip(model.layers, network.layers, strict=True):
        own = [p for p in layer.parameters() if id(p) not in owned]
        owned |= {id(p) for p in own}
        shapes = [tuple(p.shape) for p in own]
        assert [tensor.shape for tensor in layer_tensors(row)] == shapes


def test_sizes_of_tensors_add_to_the_parameters_of_an_operator(model):
    for layer in model.layers:
        for operator in layer.operators:
            sizes = [tensor.elements for tensor in tensors(operator)]
            assert operator.parameters == sum(sizes)


def test_flop_are_those_of_the_table(model):
    forward, backward, _ = step(model, build(model))
    assert SAMPLES * model.forward_flop() == forward
    assert SAMPLES * model.backward_flop() == backward


def test_every_parameter_gets_a_gradient(model):
    network = build(model)
    *_, value = step(model, network)
    assert torch.isfinite(value)
    lacking = [name for name, p in network.named_parameters() if p.grad is None]
    assert lacking == []


def test_a_layer_hands_on_as_many_elements_as_its_row_says(model):
    network = build(model)
    values, _ = example_batch(model, SAMPLES)
    values = values if isinstance(values, tuple) else (values,)
    for row, layer in list(zip(model.layers, network.layers, strict=True))[:-1]:
        values = layer(*values)
        values = values if isinstance(values, tuple) else (values,)
        assert SAMPLES * row.output_elements == sum(v.numel() for v in values)


def test_a_seed_gives_the_same_network_and_samples(model):
    first, second = build(model, seed=3), build(model, seed=3)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
    assert first is not second


def test_the_loss_is_a_mean_over_samples(model):
    network = build(model)
    inputs, targets = example_batch(model, 2)
    whole = loss(model)(network(inputs), targets)
    halves = []
    for part in (slice(0, 1), slice(1, 2)):
        own = targets[part] if torch.is_tensor(targets) else [t[part] for t in targets]
        halves.append(loss(model)(network(inputs[part]), own))
    torch.testing.assert_close(whole, sum(halves) / 2)
