"""Parameter counts: published numbers, to the digit."""

import pytest

from models.catalogue import build, names
from models.networks import NETWORKS

PUBLISHED = {
    # torchvision 0.28, sum of numel over parameters().
    "alexnet": 61_100_840,
    "vgg11": 132_863_336,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "inception-v3": 27_161_264,
    "inception-v3-no-aux": 23_834_568,
    # Hugging Face checkpoints, tied weights once.
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "llama2-7b": 6_738_415_616,
    "llama2-13b": 13_015_864_320,
    "llama2-70b": 68_976_648_192,
    "llama3-8b": 8_030_261_248,
    "llama3-70b": 70_553_706_496,
    "llama3-405b": 405_853_388_800,
    "mixtral-8x7b": 46_702_792_704,
    "mixtral-8x22b": 140_630_071_296,
    "deepseek-v2-lite": 15_706_484_224,
    "deepseek-v2": 235_741_434_880,
    # Of 671,026,419,200 stored, 58 x 256 are routing biases that are set, not trained.
    "deepseek-v3": 671_026_419_200 - 58 * 256,
    "qwen3-30b-a3b": 30_532_122_624,
    "qwen3-235b-a22b": 235_093_634_560,
}

# Billions that a token meets, as published: Mixtral's and Qwen3's over everything,
# DeepSeek's (arXiv:2405.04434, arXiv:2412.19437) without or with the embedding: V2-Lite
# says 2.4 and V3 37.
ACTIVE = {
    "mixtral-8x7b": (12.9, 0),
    "mixtral-8x22b": (39, 0),
    "deepseek-v2-lite": (2.4, 1),
    "deepseek-v2": (21, 1),
    "deepseek-v3": (37, 1),
    "qwen3-30b-a3b": (3.3, 0),
    "qwen3-235b-a22b": (22, 0),
}

# l, h, and the count in billions that arXiv:2104.04473, table 1 prints.
SC21 = {
    "megatron-1.7b": (24, 2304, 1.7),
    "megatron-3.6b": (30, 3072, 3.6),
    "megatron-7.5b": (36, 4096, 7.5),
    "megatron-18.4b": (40, 6144, 18.4),
    "megatron-39.1b": (48, 8192, 39.1),
    "megatron-76.1b": (60, 10240, 76.1),
    "megatron-145.6b": (80, 12288, 145.6),
    "megatron-310.1b": (96, 16384, 310.1),
    "megatron-529.6b": (105, 20480, 529.6),
    "megatron-1008b": (128, 25600, 1008.0),
    "gpt3-175b": (96, 12288, 174.6),
    "megatron-22b": (48, 6144, 22.1),
    "megatron-530b": (105, 20480, 529.6),
    "megatron-1t": (128, 25600, 1008.0),
}


@pytest.mark.parametrize(("name", "count"), PUBLISHED.items())
def test_parameters_equal_published_count(name, count):
    assert count == build(name).parameters


@pytest.mark.parametrize(("name", "published"), ACTIVE.items())
def test_active_parameters_are_the_published_billions(name, published):
    billions, num_left_out = published
    model = build(name)
    left_out = num_left_out * model.layers[0].parameters
    active = (model.active_parameters - left_out) / 1e9
    # Some round and some cut off: within a unit of the last published digit.
    digit = 1.0 if isinstance(billions, int) else 0.1
    assert abs(active - billions) < digit


@pytest.mark.parametrize("name", ["gpt2", "llama3-8b", "resnet50"])
def test_all_parameters_are_active_without_experts(name):
    model = build(name)
    assert model.parameters == model.active_parameters
    assert sum(layer.expert_parameters for layer in model.layers) == 0


@pytest.mark.parametrize(("name", "row"), SC21.items())
def test_megatron_count_is_the_papers_formula_and_a_final_norm(name, row):
    layers, hidden, billions = row
    # P = 12 l h^2 (1 + 13 / (12 h) + (V + s) / (12 l h)), arXiv:2104.04473, equation 2,
    # multiplied out. It leaves out the gain and bias of the norm behind the last
    # block: 2 h.
    formula = 12 * layers * hidden**2 + 13 * layers * hidden + (51200 + 2048) * hidden
    count = build(name).parameters
    assert formula + 2 * hidden == count
    assert billions == round(formula / 1e9, 1)


@pytest.mark.parametrize(
    ("name", "layers", "hidden", "encoder", "pretraining"),
    [
        # Encoder with pooler (BertModel), and with both heads (BertForPreTraining).
        ("bert-base", 12, 768, 109_482_240, 110_106_428),
        ("bert-large", 24, 1024, 335_141_888, 336_226_108),
    ],
)
def test_bert_counts_encoder_pooler_and_both_heads(
    name, layers, hidden, encoder, pretraining
):
    vocabulary, positions = 30522, 512
    embedding = (vocabulary + positions + 2) * hidden + 2 * hidden
    blocks = layers * (12 * hidden**2 + 13 * hidden)
    pooler = hidden**2 + hidden
    assert encoder == embedding + blocks + pooler
    transform = hidden**2 + hidden + 2 * hidden
    heads = transform + vocabulary + (2 * hidden + 2)
    assert pretraining == encoder + heads
    assert pretraining == build(name).parameters


@pytest.mark.parametrize(
    ("name", "dims"),
    [
        # Layers, hidden, feed-forward, width of all keys, vocabulary.
        ("llama2-7b", (32, 4096, 11008, 4096, 32000)),
        ("llama2-70b", (80, 8192, 28672, 1024, 32000)),
        ("llama3-405b", (126, 16384, 53248, 1024, 128256)),
    ],
)
def test_llama_count_by_formula(name, dims):
    layers, hidden, inner, kv_width, vocabulary = dims
    attention = 2 * hidden**2 + 2 * hidden * kv_width
    block = attention + 3 * hidden * inner + 2 * hidden
    expected = layers * block + 2 * vocabulary * hidden + hidden
    assert expected == build(name).parameters


def test_mlp_count():
    # 784 x 512 + 512, 512 x 10 + 10
    expected = 407_050
    assert expected == build("mlp", {"widths": [784, 512, 10]}).parameters


def test_every_published_model_is_counted_here():
    # Networks that torchvision lacks are counted in test_networks.py.
    counted = {*PUBLISHED, *SC21, "bert-base", "bert-large"}
    assert counted | set(NETWORKS) == set(names())
