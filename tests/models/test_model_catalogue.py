"""Names, overrides, and messages that say what to write instead."""

import subprocess
import sys

import pytest

from models.catalogue import FAMILIES, UnknownModel, build, describe, names
from models.operators import Split

DIMENSIONS = {
    "layers": 2,
    "hidden": 64,
    "heads": 4,
    "sequence_length": 128,
    "vocabulary": 1000,
}


def test_every_name_builds_and_is_described():
    for name in names():
        model, description = build(name), describe(name)
        assert name == model.name == description.name
        assert model.parameters == description.parameters
        assert description.source


def test_families_build_from_all_their_dimensions():
    for family in ("gpt", "bert"):
        assert family == build(family, DIMENSIONS).name
    assert build("llama", DIMENSIONS | {"feed_forward": 96}).name == "llama"
    assert build("mine", {"family": "mlp", "widths": [4, 2]}).name == "mine"
    recurrent = {"layers": 4, "hidden": 1024, "sequence_length": 35}
    assert build("lstm", recurrent | {"vocabulary": 1000}).num_blocks == 4


def test_overrides_replace_dimensions_and_what_follows_from_them():
    model = build("gpt2", {"layers": 3, "hidden": 64, "heads": 4, "vocabulary": 100})
    # Feed-forward follows as 4 h; 1024 positions stay.
    expected = 3 * (12 * 64**2 + 13 * 64) + (100 + 1024) * 64 + 2 * 64
    assert expected == model.parameters
    assert model.num_blocks == 3


def test_a_longer_sequence_lengthens_the_position_table():
    short = build("gpt2", {"sequence_length": 256})
    long = build("gpt2", {"sequence_length": 2048})
    assert build("gpt2").parameters == short.parameters
    assert long.parameters - short.parameters == 1024 * 768


def test_grouped_heads_stay_grouped_and_plain_ones_follow():
    # Grouped: 16 query heads of 512 over 8 key-value heads keep k and v 8 x 512 wide.
    grouped = build("llama2-70b", {"heads": 16}).layers[1].operators[1]
    assert grouped.columns == 8192 + 2 * 8 * 512
    plain = build("llama2-7b", {"heads": 16}).layers[1].operators[1]
    assert plain.columns == 3 * 4096


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("gpt2", {"heads": 7}, r"heads: 7 do not divide hidden 768 .*109\.7"),
        ("llama2-70b", {"kv_heads": 7}, r"kv_heads: 7 do not divide heads 64"),
        ("gpt2", {"layers": 0}, r"layers: 0 is below 1"),
        ("gpt2", {"layers": 2.0}, r"layers: 2\.0 is not a whole number"),
        ("gpt2", {"depth": 2}, r"depth: no such override; gpt2 takes layers, hidden"),
        ("resnet50", {"layers": 2}, r"layers: .*resnet50 takes image, thinning"),
        ("googlenet", {"image": 64}, r"image: .*googlenet has fixed dimensions"),
        ("alexnet", {"image": 32}, r"image: a window of 3 does not fit maps of 1 x 1"),
        ("llama2-7b", {"hidden": 64}, r"feed_forward: 11008 belongs to hidden 4096"),
        ("gpt", {"layers": 2}, r"hidden: missing; gpt needs layers, hidden"),
        ("llama", DIMENSIONS, r"feed_forward: missing; llama needs"),
        ("mlp", {}, r"widths: missing"),
        ("mlp", {"widths": "784"}, r"widths: '784' is not a list"),
        ("mlp", {"widths": [784]}, r"widths: \[784\] are fewer than"),
        ("mlp", {"widths": [784, 0]}, r"widths: 0 is below 1"),
        ("mlp", {"layers": 2}, r"layers: no such override; mlp takes widths"),
        ("gpt2", {"family": "gpt"}, r"family: gpt2 is a published model"),
        ("mine", {"family": "rnn"}, r"family: 'rnn' is none of gpt, bert, llama, mlp"),
    ],
)
def test_a_wrong_override_names_the_field_and_the_remedy(name, overrides, message):
    with pytest.raises(ValueError, match=message):
        build(name, overrides)


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(
        UnknownModel, match=r"'resnet-50' is unknown; nearest: resnet50"
    ):
        build("resnet-50")
    with pytest.raises(UnknownModel, match=r"known: lenet-5"):
        build("zzzzz")
    with pytest.raises(UnknownModel, match=r"nearest: .*gpt2"):
        describe("gpt3")


@pytest.mark.parametrize("family", FAMILIES)
def test_describe_wants_a_published_name(family):
    with pytest.raises(ValueError, match="missing"):
        describe(family)


def test_importing_the_catalogue_imports_nothing_heavy():
    code = (
        "import sys, models.catalogue;"
        "print(sorted({'numpy', 'torch', 'scipy', 'pydantic'} & set(sys.modules)))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"


def test_identical_layers_are_one_object():
    assert len({id(layer) for layer in build("gpt3-175b").layers}) == 3
    # Stem, head, and of each stage the first block and the others.
    assert len({id(layer) for layer in build("resnet152").layers}) == 10
    # Without bottlenecks the first stage changes nothing.
    assert len({id(layer) for layer in build("resnet34").layers}) == 9
    # conv3_2 and conv3_3 of VGG-19 are equal, as are those of the groups after it;
    # the groups at 28 and at 14 pixels differ.
    assert len({id(layer) for layer in build("vgg19").layers}) == 16


# What passes beside the main path, or has no product: held in files of their own.
SIDEWAYS = ("unet", "amoebanet", "dlrm", "le2012", "coates", "lstm-imdb")


@pytest.mark.parametrize("name", [n for n in names() if not n.startswith(SIDEWAYS)])
def test_each_layer_hands_on_what_the_next_one_reads(name):
    model = build(name)
    if model.tokens_per_sample > 1:
        width = model.layers[1].output_elements
        assert {width} == {layer.output_elements for layer in model.layers[:-1]}
        return
    for layer, after in zip(model.layers, model.layers[1:], strict=False):
        reader = next(
            op
            for op in after.operators
            if hasattr(op, "inputs") or hasattr(op, "inner")
        )
        if after is model.layers[-1] and "head" in after.name:
            continue  # A pooling comes first.
        read = getattr(reader, "inputs", None) or reader.inner
        assert read == layer.output_elements


def test_only_the_layers_of_a_transformer_stick_to_the_ends():
    assert sorted(
        {layer.role for layer in build("gpt2").layers},
        key=["embedding", "block", "head"].index,
    ) == ["embedding", "block", "head"]
    assert {"block"} == {layer.role for layer in build("vgg16").layers}
    assert all(
        op.split is Split.NONE
        for layer in build("vgg16").layers
        for op in layer.operators
    )
