"""Algorithms of a convolution: what they cost, and which is taken when."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.operators import Convolution
from models.work import Share
from simulator.convolutions.choice import WAYS, fastest, fastest_time, workspace
from simulator.job import prepare
from simulator.plan import Plan
from simulator.pricing.kernels import Achieved
from topologies.catalogue import device
from topologies.profile_file import load_profile

DIRECTIONS = ("forward", "backward_input", "backward_weight")


def rates_of(name, peak="fp32"):
    board, profile = device(name), load_profile("generic")
    rate = board.peak[peak]
    return Achieved(board, profile, rate, rate).convolution_rates


TITAN_X = rates_of("titan-x-maxwell")


def conv(channels_in, channels_out, kernel, side, *, stride=1, padding=None, groups=1):
    """A square convolution; padded to keep its maps' size unless told otherwise."""
    padding = kernel // 2 if padding is None else padding
    output = (side + 2 * padding - kernel) // stride + 1
    return Convolution(
        "conv",
        channels_in,
        channels_out,
        kernel=(kernel, kernel),
        output=(output, output),
        inputs=channels_in * side**2,
        groups=groups,
    )


def works(operator, samples=32, element=4):
    share = Share(samples, element=element)
    return [getattr(operator, name)(share)[0] for name in DIRECTIONS]


def way(operator, algorithm, samples=32, rates=TITAN_X):
    return fastest(works(operator, samples)[0], rates, (algorithm,))


shapes = st.builds(
    conv,
    st.sampled_from([1, 3, 32, 64, 256]),
    st.sampled_from([1, 32, 96, 512]),
    st.sampled_from([1, 3, 5, 7, 11]),
    st.integers(11, 112),
    stride=st.integers(1, 2),
)


@given(shapes, st.integers(1, 128), st.sampled_from([2, 4]))
@settings(max_examples=60)
def test_the_fastest_is_never_slower_than_the_product(operator, samples, element):
    for work in works(operator, samples, element):
        best = fastest(work, TITAN_X)
        product = fastest(work, TITAN_X, ("implicit-gemm",))
        assert best.time <= product.time
        assert best.time == fastest_time(work, TITAN_X)
        assert best.workspace == workspace(work, TITAN_X)


@given(shapes, st.lists(st.integers(1, 128), min_size=1, max_size=4))
@settings(max_examples=40)
def test_many_plans_are_priced_as_each_by_itself(operator, samples):
    alone = [[fastest_time(w, TITAN_X) for w in works(operator, n)] for n in samples]
    together = [
        np.broadcast_to(fastest_time(work, TITAN_X), len(samples))
        for work in works(operator, np.array(samples, dtype=float))
    ]
    assert pytest.approx(np.array(alone)) == np.array(together).T


def test_winograd_multiplies_less():
    # On maps that tiles cover: 16 points for 36 products, and 36 for 144.
    (work, _, _) = works(conv(64, 64, 3, 64))
    fused, spread = WAYS["winograd"](work, work.filtering, TITAN_X)
    assert (fused.variant, spread.variant) == ("F(2x2, 3x3)", "F(4x4, 3x3)")
    assert work.flop / fused.flop == pytest.approx(36 / 16)
    assert work.flop / spread.flop == pytest.approx(144 / 36)
    assert fused.workspace == 0 < spread.workspace


def test_fourier_multiplies_as_little_whatever_the_filter():
    # Tiles of T x T have T (T / 2 + 1) complex products for (T - k + 1)² outputs.
    (work, _, _) = works(conv(64, 64, 11, 54))
    best = fastest(work, TITAN_X, ("fft",))
    assert best.variant == "64x64"
    assert best.flop / work.flop == pytest.approx(4 * 64 * 33 / (54**2 * 11**2))


def test_the_workspace_by_hand():
    # F(4x4, 3x3) on 8 x 8 maps: 2 x 2 tiles of 36 points for each of 32 samples,
    # with 256 channels in and 512 out, beside as many points of 256 x 512 filters.
    operator = conv(256, 512, 3, 8)
    expected = 4 * 36 * (32 * 4 * (256 + 512) + 256 * 512)
    assert expected == way(operator, "winograd").workspace
    # im2col: 9 copies of one sample's inputs.
    assert way(operator, "gemm").workspace == 4 * 9 * 256 * 8 * 8
    assert way(operator, "implicit-gemm").workspace == 0


@pytest.mark.parametrize("algorithm", ["winograd", "fft"])
@pytest.mark.parametrize(
    "operator", [conv(64, 64, 1, 28), conv(64, 64, 3, 28, stride=2)]
)
def test_where_a_transform_cannot_be_done_the_product_is(operator, algorithm):
    assert way(operator, algorithm).algorithm == "implicit-gemm"


def test_weights_of_a_fused_kernel_are_not_to_be_had():
    work = works(conv(64, 64, 3, 64))[2]
    assert fastest(work, TITAN_X, ("winograd",)).variant == "F(4x4, 3x3)"


def test_tensor_cores_leave_nothing_to_transforms():
    rates = rates_of("v100-sxm2-16gb", "fp16")
    for work in works(conv(256, 256, 3, 28), element=2):
        assert fastest(work, rates).algorithm == "implicit-gemm"


def test_without_single_precision_there_are_products_only():
    rates = TITAN_X._replace(has_vector=False)
    for work in works(conv(256, 256, 3, 28)):
        assert fastest(work, rates).algorithm in {"implicit-gemm", "gemm"}


def test_a_channel_by_itself_is_summed_directly():
    alone = works(conv(256, 256, 3, 28, stride=2, groups=256))[0]
    assert fastest(alone, TITAN_X).algorithm == "direct"
    assert fastest(works(conv(256, 256, 5, 8))[0], TITAN_X).algorithm != "direct"


def advantage(kernel, *, channels=64, samples=64):
    """How many times faster Fourier's is than direct, on maps of 64 x 64."""
    operator = conv(channels, channels, kernel, 64)
    times = [way(operator, name, samples).time for name in ("direct", "fft")]
    return times[0] / times[1]


KERNELS = (3, 5, 7, 9, 11)


def test_fourier_gains_on_direct_as_the_filter_grows():
    # Mathieu et al. 2013 and Vasilache et al. 2014 (figures from memory): a direct
    # convolution takes k² times as long, a transformed one hardly longer.
    gains = [advantage(kernel) for kernel in KERNELS]
    assert gains == sorted(gains)
    assert gains[0] < 1
    assert gains[-1] > 5


def crossover(**sizes):
    """The smallest filter from which on Fourier's is faster."""
    kernels = [k for k in KERNELS if advantage(k, **sizes) > 1]
    return min(kernels, default=max(KERNELS) + 1)


@pytest.mark.parametrize(
    "sizes",
    [
        [{"channels": n} for n in (2, 4, 8, 16, 32, 64, 128)],
        [{"samples": n, "channels": 16} for n in (1, 4, 16, 64, 256)],
    ],
    ids=["channels", "samples"],
)
def test_more_channels_and_samples_let_fourier_win_with_smaller_filters(sizes):
    found = [crossover(**size) for size in sizes]
    assert found == sorted(found, reverse=True)


def test_layers_of_convnet_benchmarks_go_as_measured():
    # soumith/convnet-benchmarks, README, April 2015, Titan X, batch 128, L1 to L5, ms:
    # cuda-convnet2 sums directly, as one product; fbfft transforms.
    layers = [(3, 96, 11, 128), (64, 128, 9, 64), (128, 128, 9, 32), (128, 128, 7, 16)]
    layers.append((384, 384, 3, 13))
    operators = [conv(*layer, padding=0) for layer in layers]
    product = [1e3 * way(layer, "implicit-gemm", 128).time for layer in operators]
    assert product == pytest.approx([36, 113, 40, 4, 8], rel=0.2)
    fourier = [1e3 * way(layer, "fft", 128).time for layer in operators]
    # Measured: 57, 27, 6, 2, 9; the padding and copies of fbfft are not in ours.
    for ours, theirs in zip(fourier, [57, 27, 6, 2, 9], strict=True):
        assert ours <= theirs
    assert all(f < p for f, p in zip(fourier[1:4], product[1:4], strict=True))


def test_a_platform_offers_what_its_profile_says():
    plan = Plan.from_mapping(
        {
            "model": {"name": "vgg11"},
            "batch": {"global": 32, "micro": 32},
            "training": {"precision": "fp32", "optimizer": "sgd"},
            "cluster": {"device": "titan-x-maxwell"},
        }
    )
    pricer = prepare(plan).pricer
    (work,) = conv(256, 256, 3, 28).forward(Share(32, element=4))
    only = replace(pricer.profile, convolutions=("implicit-gemm",))
    product = replace(pricer, profile=only).kernel_time(work)
    assert pricer.kernel_time(work) < product
    rates = pricer.achieved.convolution_rates
    assert product == fastest_time(work, rates, ("implicit-gemm",))
    assert load_profile("k20").convolutions == ("implicit-gemm",)


def test_every_name_can_be_asked_for():
    operator = conv(64, 64, 3, 56)
    for name in WAYS:
        assert way(operator, name).algorithm == name


@pytest.mark.parametrize("name", ["auto", *WAYS])
def test_a_plan_may_name_the_algorithm(name):
    plan = Plan.from_mapping(
        {
            "model": {"name": "vgg11"},
            "batch": {"global": 32, "micro": 32},
            "training": {
                "precision": "fp32",
                "optimizer": "sgd",
                "convolution": name,
            },
            "cluster": {"device": "titan-x-maxwell"},
        }
    )
    pricer = prepare(plan).pricer
    (work,) = conv(256, 256, 3, 28).forward(Share(32, element=4))
    offered = () if name == "auto" else (name,)
    assert pricer.kernel_time(work) == fastest_time(
        work, pricer.achieved.convolution_rates, offered
    )
