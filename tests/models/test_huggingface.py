"""Networks from a `config.json`: counts against checkpoints, and what is refused."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.catalogue import build
from models.huggingface import MODEL_TYPES, build_from_config

CONFIGS = Path(__file__).parent / "configs"

# Sum of the elements of the published checkpoints, tied weights once.
PUBLISHED = {
    "bert-base-uncased": 110_106_428,  # with both pre-training heads
    "deepseek-v2-lite": 15_706_484_224,
    "deepseek-v3": 671_026_419_200 - 58 * 256,  # without the set routing biases
    "falcon-7b": 6_921_720_704,
    "gemma-2-2b": 2_614_341_888,
    "gemma-7b": 8_537_680_896,
    "gpt-neox-20b": 20_554_567_680,
    "gpt2": 124_439_808,
    "llama-3.1-8b": 8_030_261_248,
    "mistral-7b-v0.1": 7_241_732_096,
    "mixtral-8x7b-v0.1": 46_702_792_704,
    "opt-125m": 125_239_296,
    "phi-3-mini": 3_821_079_552,
    "pythia-6.9b": 6_857_302_016,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-0.6b": 596_049_920,
    "qwen3-30b-a3b": 30_532_122_624,
    "qwen3-8b": 8_190_735_360,
}


def _text(name, **changes):
    content = json.loads((CONFIGS / f"{name}.json").read_text("utf-8")) | changes
    return json.dumps({k: v for k, v in content.items() if v is not ...})


@pytest.mark.parametrize(("name", "count"), PUBLISHED.items())
def test_parameters_equal_the_checkpoint(name, count):
    model = build_from_config(_text(name), {"sequence_length": 512})
    assert count == model.parameters


def test_every_supported_type_is_counted_here():
    files = sorted(path.stem for path in CONFIGS.glob("*.json"))
    assert files == sorted(PUBLISHED)
    types = {json.loads(_text(name))["model_type"] for name in files}
    assert types | {"deepseek_v3"} == set(MODEL_TYPES)


@pytest.mark.parametrize(
    ("config", "published"),
    [
        ("gpt2", "gpt2"),
        ("bert-base-uncased", "bert-base"),
        ("llama-3.1-8b", "llama3-8b"),
        ("mixtral-8x7b-v0.1", "mixtral-8x7b"),
        ("deepseek-v2-lite", "deepseek-v2-lite"),
        ("deepseek-v3", "deepseek-v3"),
        ("qwen3-30b-a3b", "qwen3-30b-a3b"),
    ],
)
def test_a_file_and_the_catalogue_describe_the_same_network(config, published):
    known = build(published)
    tokens = known.tokens_per_sample
    model = build_from_config(_text(config), {"sequence_length": tokens})
    assert known.family == model.family
    assert known.attention == model.attention
    assert [layer.operators for layer in known.layers] == [
        layer.operators for layer in model.layers
    ]


def test_a_learned_position_table_fixes_the_sequence_length():
    assert build_from_config(_text("gpt2")).tokens_per_sample == 1024
    assert build_from_config(_text("opt-125m")).tokens_per_sample == 2048
    with pytest.raises(
        ValueError, match=r"sequence_length: is missing; .* up to 131072 tokens"
    ):
        build_from_config(_text("llama-3.1-8b"))


def test_overrides_replace_what_the_file_says():
    model = build_from_config(
        _text("mixtral-8x7b-v0.1"),
        {"sequence_length": 1024, "layers": 4, "attention": "materialized"},
    )
    assert (model.num_blocks, model.tokens_per_sample) == (4, 1024)
    assert model.family == "llama with experts"
    with pytest.raises(ValueError, match=r"^heads: 7 do not divide hidden 4096"):
        build_from_config(
            _text("mixtral-8x7b-v0.1"), {"sequence_length": 1, "heads": 7}
        )


def test_the_class_stands_in_for_a_missing_type():
    for name in PUBLISHED:
        own = build_from_config(_text(name), {"sequence_length": 64})
        other = build_from_config(_text(name, model_type=...), {"sequence_length": 64})
        assert own.parameters == other.parameters


def test_a_network_is_called_by_the_last_part_of_its_name():
    text = _text("gpt2", _name_or_path="openai-community/gpt2-of-mine")
    assert build_from_config(text).name == "gpt2-of-mine"
    assert build_from_config(_text("gpt2")).name == "gpt2"


def test_biases_follow_the_file():
    tokens = {"sequence_length": 16}
    plain = build_from_config(_text("llama-3.1-8b"), tokens)
    biased = build_from_config(
        _text("llama-3.1-8b", attention_bias=True, mlp_bias=True), tokens
    )
    # q 4096, k and v 1024, output 4096; gate and up 14336, down 4096.
    a_block = 4096 + 2 * 1024 + 4096 + 2 * 14336 + 4096
    assert biased.parameters - plain.parameters == 32 * a_block


def test_a_later_falcon_has_two_norms_and_grouped_heads():
    tokens = {"sequence_length": 16}
    changes = {"new_decoder_architecture": True, "num_kv_heads": 8, "hidden_size": 8192}
    changes |= {"num_attention_heads": 128, "num_hidden_layers": 60}
    model = build_from_config(_text("falcon-7b", **changes), tokens)
    # Falcon-40B: attention, feed-forward of 4 h, two layer norms a block.
    block = 2 * 8192**2 + 2 * 8192 * 8 * 64 + 8 * 8192**2 + 4 * 8192
    assert 60 * block + 65024 * 8192 + 2 * 8192 == model.parameters


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("llama-3.1-8b", {"hidden_size": ...}, "hidden_size: is missing"),
        ("llama-3.1-8b", {"hidden_size": "4096"}, 'hidden_size: "4096" is not a whole'),
        ("llama-3.1-8b", {"hidden_size": 4096.0}, "hidden_size: 4096.0 is not a whole"),
        ("llama-3.1-8b", {"hidden_size": True}, "hidden_size: true is not a whole"),
        ("llama-3.1-8b", {"hidden_size": 0}, "hidden_size: 0 is below 1"),
        (
            "llama-3.1-8b",
            {"num_hidden_layers": 10**9},
            "num_hidden_layers: .* is above",
        ),
        (
            "llama-3.1-8b",
            {"attention_bias": 1},
            "attention_bias: 1 is neither true nor",
        ),
        ("llama-3.1-8b", {"num_attention_heads": 7}, "heads: 7 do not divide hidden"),
        (
            "mistral-7b-v0.1",
            {"num_key_value_heads": ...},
            "num_key_value_heads: is mis",
        ),
        ("gpt2", {"n_layer": ...}, "n_layer: is missing"),
        ("gpt2", {"n_embd": ...}, "n_embd: is missing"),
        ("mixtral-8x7b-v0.1", {"num_experts_per_tok": 9}, "top_k: 9 exceed the 8"),
        (
            "qwen3-30b-a3b",
            {"decoder_sparse_step": 2},
            "decoder_sparse_step: 2 is not m",
        ),
        (
            "qwen3-30b-a3b",
            {"mlp_only_layers": [0]},
            r"mlp_only_layers: \[0\] is not mod",
        ),
        ("deepseek-v3", {"moe_layer_freq": 2}, "moe_layer_freq: 2 is not modelled"),
        ("opt-125m", {"word_embed_proj_dim": 512}, "word_embed_proj_dim: 512 is not m"),
        ("gpt2", {"model_type": "mamba"}, "model_type: 'mamba' is not supported; sup"),
        (
            "gpt2",
            {"model_type": ..., "architectures": []},
            "model_type: is missing; supported: bert, deepseek_v2",
        ),
    ],
)
def test_a_wrong_file_is_named_with_the_key(name, changes, message):
    with pytest.raises(ValueError, match=f"^file: mine.json: {message}"):
        build_from_config(
            _text(name, **changes), {"sequence_length": 16}, source="mine.json"
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON: Expecting value"),
        ("{", "is not JSON: "),
        ("[]", "is not a JSON object"),
        ('"llama"', "is not a JSON object"),
        ("[" * 100_000, "is nested too deeply"),
        ('{"model_type": 3}', "model_type: is missing"),
        ("{}", "model_type: is missing"),
    ],
)
def test_a_file_that_is_no_configuration(text, message):
    with pytest.raises(ValueError, match=f"^file: the file: {message}"):
        build_from_config(text)


def _outcome(text):
    try:
        model = build_from_config(text, {"sequence_length": 16})
    except ValueError as error:
        return str(error)
    return "a network" if model.parameters > 0 else "nothing"


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 300),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(0, 9), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@given(name=st.sampled_from(sorted(PUBLISHED)), data=st.data())
@settings(derandomize=True, deadline=None, max_examples=300)
def test_any_value_at_any_key_is_a_network_or_a_named_error(name, data):
    key = data.draw(st.sampled_from(sorted(json.loads(_text(name)))))
    text = _text(name, **{key: data.draw(VALUES)})
    assert _outcome(text).startswith(
        ("a network", "file: the file: ", "sequence_length: ")
    )
