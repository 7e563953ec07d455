"""FLOP of the forward and backward pass, by formula and by torch's counter."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.catalogue import build, names
from models.operators import Convolution, Linear
from models.work import Share

# torch.utils.flop_counter (torch 2.13) on torchvision 0.28, training mode, one image:
# multiply-adds of the forward pass, FLOP of the backward pass of the summed outputs.
TORCH = {
    "alexnet": (714_188_480, 2_716_200_320),
    "vgg11": (7_609_090_048, 30_262_951_936),
    "vgg16": (15_470_264_320, 61_707_649_024),
    "vgg19": (19_632_062_464, 78_354_841_600),
    "resnet18": (1_814_073_344, 7_020_265_472),
    "resnet34": (3_663_761_408, 14_419_017_728),
    "resnet50": (4_089_184_256, 16_120_709_120),
    "resnet101": (7_801_405_440, 30_969_593_856),
    "resnet152": (11_513_626_624, 45_818_478_592),
    "inception-v3": (5_718_899_296, 22_837_233_856),
    "inception-v3-no-aux": (5_713_216_096, 22_814_501_056),
}


def works(layer, share, direction):
    """Return the kernels of one direction of a layer: F, I, W or B (I and W)."""
    chosen = []
    for operator in layer.operators:
        if direction == "F":
            chosen += operator.forward(share)
        if direction in {"I", "B"}:
            chosen += operator.backward_input(share)
        if direction in {"W", "B"}:
            chosen += operator.backward_weight(share)
    return chosen


@pytest.mark.parametrize(("name", "counts"), TORCH.items())
def test_convolutional_flop_equal_torchs_counter(name, counts):
    multiply_adds, backward = counts
    model = build(name)
    assert 2 * multiply_adds == model.forward_flop()
    assert backward == model.backward_flop()


def test_alexnet_multiply_adds_by_formula():
    # output pixels x output channels x input channels x filter
    convolutions = (
        55**2 * 64 * 3 * 11**2
        + 27**2 * 192 * 64 * 5**2
        + 13**2 * 384 * 192 * 3**2
        + 13**2 * 256 * 384 * 3**2
        + 13**2 * 256 * 256 * 3**2
    )
    matrices = 256 * 6**2 * 4096 + 4096**2 + 4096 * 1000
    assert 2 * (convolutions + matrices) == build("alexnet").forward_flop()


def test_vgg16_multiply_adds_by_formula():
    convolutions, inputs = 0, 3
    groups = ((2, 64, 224), (2, 128, 112), (3, 256, 56), (3, 512, 28), (3, 512, 14))
    for num_convs, channels, size in groups:
        for _ in range(num_convs):
            convolutions += size**2 * channels * inputs * 3**2
            inputs = channels
    matrices = 512 * 7**2 * 4096 + 4096**2 + 4096 * 1000
    assert 2 * (convolutions + matrices) == build("vgg16").forward_flop()


def test_resnet50_multiply_adds_by_formula():
    total, inputs, before = 112**2 * 64 * 3 * 7**2, 64, 56
    for num_blocks, width, size in (
        (3, 64, 56),
        (4, 128, 28),
        (6, 256, 14),
        (3, 512, 7),
    ):
        for block in range(num_blocks):
            # The first 1x1 sees the size before the stride, the 3x3 makes the stride.
            first = size if block else before
            total += first**2 * inputs * width
            total += size**2 * (9 * width**2 + 4 * width**2)
            if block == 0:
                total += size**2 * inputs * 4 * width
            inputs = 4 * width
        before = size
    assert 2 * (total + 2048 * 1000) == build("resnet50").forward_flop()


@pytest.mark.parametrize("name", [n for n in names() if n.startswith(("gpt", "mega"))])
def test_gpt_flop_equal_korthikantis_formula(name):
    model = build(name)
    s, num_blocks = model.tokens_per_sample, model.num_blocks
    h = model.layers[1].output_elements // s
    v = model.layers[0].operators[0].entries
    # 72 L s h^2 (1 + s / (6 h) + V / (12 h L)), arXiv:2205.05198, equation 7, B = 1
    expected = 72 * num_blocks * s * h**2 + 12 * num_blocks * s**2 * h + 6 * s * h * v
    assert expected == model.forward_flop() + model.backward_flop()


@pytest.mark.parametrize("name", names())
def test_backward_flop_are_twice_forward_without_the_samples_gradient(name):
    model = build(name)
    spared = sum(
        work.flop
        for layer in model.layers
        for operator in layer.operators
        if not getattr(operator, "needs_input_gradient", True)
        for work in operator.forward(Share(samples=1))
    )
    assert 2 * model.forward_flop() - spared == model.backward_flop()


@pytest.mark.parametrize("name", names())
def test_gradient_of_inputs_and_of_weights_each_cost_a_forward(name):
    share = Share(samples=3)
    for layer in {id(layer): layer for layer in build(name).layers}.values():
        for operator in layer.operators:
            if not isinstance(operator, Linear | Convolution):
                continue
            (forward,) = operator.forward(share)
            weight, *bias = operator.backward_weight(share)
            inputs = operator.backward_input(share)
            assert forward.flop == weight.flop
            assert all(work.flop == 0 for work in bias)
            expected = [forward.flop] if operator.needs_input_gradient else []
            assert expected == [work.flop for work in inputs]


@pytest.mark.parametrize(
    "name", ["alexnet", "vgg16", "resnet50", "inception-v3", "gpt2", "bert-base"]
)
@given(batch=st.integers(1, 512))
@settings(derandomize=True, deadline=None, max_examples=10)
def test_flop_of_a_batch_are_batch_times_those_of_a_sample(name, batch):
    model = build(name)
    for direction in ("F", "B"):
        total = sum(
            work.flop
            for layer in model.layers
            for work in works(layer, Share(samples=batch), direction)
        )
        one = model.forward_flop() if direction == "F" else model.backward_flop()
        assert batch * one == total


def test_both_backward_directions_are_the_whole_backward():
    share = Share(samples=2)
    for layer in build("resnet18").layers:
        both = works(layer, share, "B")
        assert len(both) == len(works(layer, share, "I")) + len(
            works(layer, share, "W")
        )
