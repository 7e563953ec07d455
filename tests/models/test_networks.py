"""Networks of fixed dimensions: parameters, FLOP and kept bytes, to the digit."""

from itertools import pairwise

import pytest

from models.autoencoder import COATES
from models.catalogue import build, names
from models.networks import NETWORKS
from models.operators import Convolution, Lstm
from models.work import Share

# Parameters, multiply-adds of the forward pass and FLOP of the backward pass of one
# sample by torch.utils.flop_counter, torch 2.13: torchvision 0.28, the code of
# kakaobrain/torchgpipe 0.0.7, torch.nn.LSTM with a state that wants a gradient, and
# for the others a torch.nn.Sequential of the same dimensions.
TORCH = {
    "overfeat-fast": (145_920_872, 2_801_403_904, 10_987_048_960),
    "googlenet": (13_004_888, 1_506_748_416, 5_790_965_760),
    "googlenet-no-aux": (6_624_904, 1_498_376_192, 5_757_476_864),
    "unet-5-64": (232_687_328, 48_987_242_496, 195_821_568_000),
    "unet-6-72": (362_157_516, 74_459_824_128, 297_695_969_280),
    "unet-11-128": (2_213_834_176, 432_277_291_008, 1_728_854_360_064),
    "unet-24-128": (4_993_859_008, 944_603_136_000, 3_778_157_740_032),
    "unet-24-160": (7_802_903_600, 1_475_901_849_600, 5_903_288_893_440),
    "unet-48-160": (15_822_206_000, 2_953_764_864_000, 11_814_740_951_040),
    "amoebanet-d-18-128": (31_694_440, 3_798_966_272, 15_174_189_056),
    "amoebanet-d-18-208": (81_505_540, 10_018_557_952, 40_039_008_256),
    "amoebanet-d-18-256": (122_470_120, 15_170_093_056, 60_637_020_160),
    "amoebanet-d-18-416": (319_024_120, 40_032_352_256, 160_058_961_920),
    "amoebanet-d-18-544": (542_734_840, 68_440_840_192, 273_671_237_632),
    "amoebanet-d-36-544": (1_055_832_376, 125_864_261_632, 503_364_923_392),
    "amoebanet-d-72-512": (1_844_858_344, 213_228_093_440, 852_825_669_632),
    "lstm-ptb-medium": (19_780_400, 464_100_000, 1_856_400_000),
    "lstm-ptb-large": (66_034_000, 1_785_000_000, 7_140_000_000),
    "lstm-imdb-256": (4_762_114, 91_750_912, 367_003_648),
    "lstm-imdb-512": (7_257_090, 340_788_224, 1_363_152_896),
    "lstm-imdb-1280": (24_179_202, 2_031_618_560, 8_126_474_240),
    "dlrm-criteo-kaggle": (540_677_217, 486_032, 1_930_816),
    "dlrm-criteo-terabyte": (26_137_996_161, 2_458_496, 9_820_672),
}

# As above, from torchvision; the backward FLOP are those of torch's counter.
RESNEXT = {
    "resnext50-32x4d": (25_028_904, 4_230_479_872, 31_020_974_080),
    "resnext101-32x8d": (88_791_336, 16_414_015_488, 183_684_464_640),
    "resnext101-64x4d": (83_455_272, 15_460_270_080, 181_776_973_824),
}

# Parameters that torchgpipe's docs/benchmarks.rst prints.
TORCHGPIPE = {
    "unet-6-72": "362.2M",
    "unet-11-128": "2.21B",
    "unet-24-128": "4.99B",
    "unet-24-160": "7.80B",
    "unet-48-160": "15.82B",
    "amoebanet-d-18-208": "81.5M",
    "amoebanet-d-18-416": "319.0M",
    "amoebanet-d-18-544": "542.7M",
    "amoebanet-d-36-544": "1.06B",
    "amoebanet-d-72-512": "1.84B",
}

# Bytes of distinct tensors that torch 2.13 saved for backward on a CPU, weights left
# out: two images, fp32. It saves the statistics of normalisations too, two numbers a
# channel, which are left out here.
SAVED = {
    "unet-5-64": 923_947_776,
    "amoebanet-d-18-208": 579_858_676,
    "googlenet": 96_734_204,
    "googlenet-no-aux": 96_466_260,
    "inception-v3-no-aux": 196_644_780,
    "resnet50": 172_251_988,
    "resnext50-32x4d": 224_957_268,
}
STATISTICS = 0.0026  # of all bytes kept, in the worst of these networks

COUNTED_ELSEWHERE = {"lenet-5", "le2012", *COATES}


@pytest.mark.parametrize(("name", "counts"), TORCH.items())
def test_parameters_and_flop_equal_torchs(name, counts):
    parameters, multiply_adds, backward = counts
    model = build(name)
    assert parameters == model.parameters
    assert 2 * multiply_adds == model.forward_flop()
    assert backward == model.backward_flop()


@pytest.mark.parametrize(("name", "counts"), RESNEXT.items())
def test_resnext_equals_torchvision_but_for_the_weights_of_groups(name, counts):
    parameters, multiply_adds, backward = counts
    model = build(name)
    assert parameters == model.parameters
    assert 2 * multiply_adds == model.forward_flop()
    # The counter takes the gradient of grouped filters for one of whole filters, and
    # counts it `groups` times too often.
    excess = sum(
        (operator.groups - 1) * work.flop
        for layer in model.layers
        for operator in layer.operators
        if isinstance(operator, Convolution)
        for work in operator.backward_weight(Share(1))
    )
    assert backward == model.backward_flop() + excess


@pytest.mark.parametrize(("name", "printed"), TORCHGPIPE.items())
def test_parameters_round_to_what_torchgpipe_prints(name, printed):
    count = build(name).parameters
    millions, billions = count / 1e6, count / 1e9
    rounded = f"{millions:.1f}M" if printed.endswith("M") else f"{billions:.2f}B"
    assert printed == rounded


@pytest.mark.parametrize(("name", "saved"), SAVED.items())
def test_kept_bytes_equal_torchs_but_for_statistics(name, saved):
    share = Share(samples=2, element=4)
    operators = [op for layer in build(name).layers for op in layer.operators]
    kept = sum(operator.saved_bytes(share) for operator in operators)
    assert saved * (1 - STATISTICS) <= kept <= saved


def test_lenet_counts_as_lecun_did():
    model = build("lenet-5")
    # C1 156, S2 12, C3 1,516, S4 32, C5 48,120, F6 10,164: "only 60,000".
    assert [layer.parameters for layer in model.layers] == [
        156 + 12,
        1516 + 32,
        48_120,
        10_164,
    ]
    # Connections of C1, C3, C5 and F6, without those of the biases. With the biases,
    # 5,880 and 2,000 of the poolings and 840 of the output they are 340,908.
    biases = 28**2 * 6 + 10**2 * 16 + 120 + 84
    products = 122_304 + 151_600 + 48_120 + 10_164 - biases
    assert 2 * products == model.forward_flop()
    assert products + biases + 5880 + 2000 + 840 == 340_908


def test_zarembas_large_model_has_66_million_parameters():
    vocabulary, hidden = 10_000, 1500
    # Both tables; two layers of four gates; two biases a layer and one at the end.
    tables = 2 * vocabulary * hidden + vocabulary
    layers = 2 * (4 * hidden * 2 * hidden + 2 * 4 * hidden)
    assert tables + layers == build("lstm-ptb-large").parameters


def test_every_step_of_an_lstm_waits_for_the_one_before():
    lstm = Lstm("lstm", steps=35, inner=96, hidden=64)
    inputs, *steps = lstm.forward(Share(samples=20))
    # One product for all inputs; then a product of 20 rows and a kernel a step.
    assert inputs.rows == 35 * 20
    assert [work.rows for work in steps] == [20, 0] * 35
    *steps, inputs = lstm.backward_input(Share(samples=20))
    assert inputs.rows == 35 * 20
    assert [work.rows for work in steps] == [0, 20] * 35


def test_dlrm_reads_all_pairs_beside_the_dense_vector():
    model = build("dlrm-criteo-kaggle")
    interaction = next(each for each in model.layers if each.name == "interaction")
    assert interaction.output_elements == 27 * 26 // 2 + 16


def test_every_network_is_counted():
    convolutional = {"alexnet", "inception-v3", "inception-v3-no-aux"}
    convolutional |= {name for name in NETWORKS if name.startswith(("vgg", "resnet"))}
    assert set(NETWORKS) == {*TORCH, *RESNEXT, *COUNTED_ELSEWHERE, *convolutional}
    assert set(NETWORKS) < set(names())


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "resnet18", "resnet50"])
def test_thinning_and_smaller_images_leave_the_published_network_at_one(name):
    published = build(name)
    same = build(name, {"image": 224, "thinning": 1})
    assert published.parameters == same.parameters
    assert published.forward_flop() == same.forward_flop()


def test_thinned_alexnet_by_formula():
    # 64 x 64: 15 x 15 behind conv1, 7, 3 and 1 x 1 behind the poolings. Thinned by 16:
    # channels 4, 12, 24, 16, 16; features 256.
    channels = (3, 4, 12, 24, 16, 16)
    kernels = (11, 5, 3, 3, 3)
    weights = sum(
        (inner * kernel**2 + 1) * outer
        for inner, outer, kernel in zip(channels, channels[1:], kernels, strict=False)
    )
    features = (16, 256, 256, 1000)
    weights += sum((inner + 1) * outer for inner, outer in pairwise(features))
    assert weights == build("alexnet", {"image": 64, "thinning": 16}).parameters
