"""Networks that a plan gives by dimensions of its own or by a file."""

import json
import tomllib
from pathlib import Path

import pytest

from simulator.errors import PlanError
from simulator.plan import Plan
from simulator.plans.building import divided

CONFIGS = Path(__file__).parents[1] / "models" / "configs"
LLAMA = CONFIGS / "llama-3.1-8b.json"


def mapping(**model) -> dict:
    return {
        "model": model,
        "batch": {"global": 8, "micro": 1},
        "cluster": {"device": "h100-sxm5-80gb"},
    }


def written(folder: Path, model: str) -> Path:
    path = folder / "plan.toml"
    rest = "[batch]\nglobal = 8\nmicro = 1\n[cluster]\ndevice = 'h100-sxm5-80gb'\n"
    path.write_text(f"[model]\n{model}\n{rest}")
    return path


@pytest.fixture
def of_file(tmp_path) -> Plan:
    (tmp_path / "config.json").write_text(LLAMA.read_text())
    return Plan.load(written(tmp_path, 'file = "config.json"\nsequence_length = 2048'))


def test_a_file_is_found_from_the_folder_of_the_plan(of_file, tmp_path):
    model = of_file.build_model()
    assert (model.parameters, model.tokens_per_sample) == (8_030_261_248, 2048)
    assert of_file.model.file == str(tmp_path / "config.json")


def test_a_plan_with_a_file_is_dumped_and_replaced(of_file):
    again = Plan.from_mapping(tomllib.loads(of_file.dump()))
    assert again == of_file
    assert again.content_hash == of_file.content_hash
    assert again.build_model() is of_file.build_model()
    fewer = of_file.replace({"model.layers": 4})
    assert fewer.build_model().num_blocks == 4
    assert fewer.replace({"model.layers": None}) == of_file
    named = of_file.replace({"model.file": None, "model.name": "llama3-8b"})
    assert named.build_model().parameters == 8_030_261_248


def test_the_same_file_elsewhere_is_the_same_content(of_file, tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "mine.json").write_text(LLAMA.read_text())
    other = of_file.replace({"model.file": str(tmp_path / "inner" / "mine.json")})
    assert other.content_hash == of_file.content_hash


def test_a_file_that_changes_is_read_again(of_file, tmp_path):
    before = of_file.content_hash
    content = json.loads(LLAMA.read_text()) | {"num_hidden_layers": 3}
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert of_file.build_model().num_blocks == 3
    assert of_file.content_hash != before


def test_a_wrong_file_is_a_fault_at_its_key(tmp_path):
    content = json.loads(LLAMA.read_text()) | {"hidden_size": None}
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(PlanError) as caught:
        Plan.load(written(tmp_path, 'file = "config.json"\nsequence_length = 2048'))
    (fault,) = caught.value.faults
    assert (fault.line, fault.key) == (2, "model.file")
    assert fault.problem == "config.json: hidden_size: is missing"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\xff\xfe{", "config.json is not UTF-8 text"),
        (b" " * 1_000_001, "config.json is larger than 1 MB"),
    ],
)
def test_files_that_are_no_text(tmp_path, content, problem):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(PlanError) as caught:
        Plan.load(written(tmp_path, 'file = "config.json"'))
    assert [fault.problem for fault in caught.value.faults] == [problem]


def test_a_llama_becomes_a_mixture_by_its_keys():
    own = {"family": "llama", "layers": 2, "hidden": 64, "heads": 4, "vocabulary": 100}
    own |= {"sequence_length": 32, "feed_forward": 96, "experts": 4, "top_k": 2}
    own |= {"dense_layers": 1, "shared_experts": 1, "capacity_factor": 1.25}
    plan = Plan.from_mapping(mapping(**own))
    assert plan.model.capacity_factor == 1.25
    model = plan.build_model()
    assert [layer.expert_parameters for layer in model.layers] == [
        *(0, 0, 4 * 3 * 64 * 96, 0)
    ]
    assert Plan.from_mapping(tomllib.loads(plan.dump())) == plan


def test_a_llama_gets_latent_attention_by_its_keys():
    own = {"name": "llama2-7b", "kv_rank": 512, "plain_width": 128}
    own |= {"rotary_width": 64, "value_width": 128}
    model = Plan.from_mapping(mapping(**own)).build_model()
    assert model.family == "llama with latent attention, flash attention"


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        (
            "deepseek-v3",
            {
                "vocabulary": 129280,
                "heads": 128,
                "feed_forward": 18432,
                "expert_feed_forward": 2048,
                "shared width": 2048,
            },
        ),
        (
            "qwen3-30b-a3b",
            {
                "vocabulary": 151936,
                "heads": 32,
                "expert_feed_forward": 768,
                "kv_heads": 4,
            },
        ),
        (
            "llama3-8b",
            {
                "vocabulary": 128256,
                "heads": 32,
                "feed_forward": 14336,
                "kv_heads": 8,
            },
        ),
    ],
)
def test_what_tensor_ranks_divide(name, counts):
    assert counts == divided(Plan.from_mapping(mapping(name=name)).build_model())


@pytest.mark.parametrize("model", [{"name": "gpt2"}, {"name": "gpt3-175b"}])
def test_a_gpt_without_dropout_differs_in_nothing_else(model):
    whole = Plan.from_mapping(mapping(**model)).build_model()
    less = Plan.from_mapping(mapping(**model, dropout=False)).build_model()
    assert less.parameters == whole.parameters

    def names(network):
        block = next(layer for layer in network.layers if layer.role == "block")
        return [operator.name for operator in block.operators]

    assert [name for name in names(whole) if "dropout" not in name] == names(less)
    assert names(whole) != names(less)
