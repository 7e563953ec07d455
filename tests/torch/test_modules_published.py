"""Published networks on the meta device: shapes, sizes and FLOP, and no numbers."""

import pytest

torch = pytest.importorskip("torch")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from calibration.modules import Uncovered, build, example_batch, loss  # noqa: E402
from models.catalogue import build as table  # noqa: E402
from models.operators import Convolution, Lstm  # noqa: E402
from models.tensors import layer_tensors  # noqa: E402
from models.work import Share  # noqa: E402

SAMPLES = 2
NETWORKS = (
    "lenet-5",
    "alexnet",
    "vgg16",
    "overfeat-fast",
    "resnet18",
    "resnet50",
    "resnext50-32x4d",
    "googlenet-no-aux",
    "inception-v3-no-aux",
    "unet-5-64",
    "amoebanet-d-18-128",
    "le2012",
    "lstm-ptb-medium",
    "lstm-imdb-256",
    "dlrm-criteo-kaggle",
)
SIZES = ("gpt3-175b", "llama3-8b", "mixtral-8x7b", "deepseek-v3", "bert-large")


def counted_otherwise(model):
    """Return backward FLOP that torch 2.13 counts and the table does not [FLOP].

    Its counter takes the weight gradient of a convolution in g groups for a dense one,
    which is g times as much. Autograd computes no gradient of the first state of a
    recurrent layer, which cuDNN does.
    """
    flop = 0.0
    for layer in model.layers:
        for operator in layer.operators:
            if isinstance(operator, Convolution):
                works = operator.backward_weight(Share(samples=SAMPLES))
                flop += (operator.groups - 1) * sum(work.flop for work in works)
            if isinstance(operator, Lstm):
                flop -= 2.0 * SAMPLES * 4 * operator.hidden * operator.hidden
    return flop


@pytest.mark.parametrize("name", NETWORKS)
def test_a_published_network_executes_what_its_table_says(name):
    model = table(name)
    network = build(model, device="meta")
    values, targets = example_batch(model, SAMPLES, device="meta")
    values = values if isinstance(values, tuple) else (values,)
    handed_on, forward = [], []
    for layer in network.layers:
        with FlopCounterMode(display=False) as counter:
            values = layer(*values)
        forward.append(counter.get_total_flops())
        values = values if isinstance(values, tuple) else (values,)
        handed_on.append(sum(value.numel() for value in values))
    # A head hands on its loss in the table, and its logits here.
    said = [SAMPLES * layer.output_elements for layer in model.layers]
    assert said[:-1] == handed_on[:-1]
    value = loss(model)(values[0], targets)
    with FlopCounterMode(display=False) as backward:
        value.backward()
    assert [SAMPLES * layer.forward_flop() for layer in model.layers] == forward
    expected = SAMPLES * model.backward_flop() + counted_otherwise(model)
    assert expected == backward.get_total_flops()


@pytest.mark.parametrize("name", [*NETWORKS, *SIZES])
def test_a_published_network_has_the_parameters_of_its_table(name):
    model = table(name)
    network = build(model, device="meta")
    owned = set()
    for row, layer in zip(model.layers, network.layers, strict=True):
        own = [p for p in layer.parameters() if id(p) not in owned]
        owned |= {id(p) for p in own}
        assert row.parameters == sum(p.numel() for p in own)
        shapes = [tuple(p.shape) for p in own]
        assert [tensor.shape for tensor in layer_tensors(row)] == shapes


@pytest.mark.parametrize("name", ["googlenet", "inception-v3"])
def test_auxiliary_heads_are_not_covered(name):
    message = rf"model {name} \(convolutional\): operator 'auxiliary join'"
    with pytest.raises(Uncovered, match=message):
        build(table(name), device="meta")


def test_experts_that_drop_tokens_are_not_covered():
    changes = {"layers": 1, "capacity_factor": 1.25}
    with pytest.raises(Uncovered, match=r"capacity_factor 1\.25 pads or drops"):
        build(table("mixtral-8x7b", changes), device="meta")
