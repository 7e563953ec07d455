"""The JSON Schema says what the loader says, as far as a schema can."""

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest

from simulator.one_collective.plan import CollectivePlan
from simulator.plan import Plan
from simulator.plans.records import plan_keys
from simulator.schema import json_schema

ROOT = Path(__file__).parents[2]
PLANS = sorted((ROOT / "plans").glob("*.toml"))
MALFORMED = sorted((ROOT / "tests" / "malformed").glob("*.toml"))

# Valid in each key: only the loader knows how keys have to fit together.
ARITHMETIC = {
    *("device-file-missing", "device-file-is-a-plan"),
    "batch-not-whole",
    "blocks-against-chunks",
    "blocks-not-whole",
    "context-against-tokens",
    "context-of-images",
    "context-of-stored-scores",
    "dimensions-of-an-image-model",
    "expert-parallel-without-experts",
    "experts-against-devices",
    "family-without-dimensions",
    "fixed-point-in-part",
    "heads-against-hidden",
    "interleaved-faults",
    "kv-heads-against-heads",
    "layers-all",
    "layers-choices-of-neurons",
    "layers-not-dense",
    "layers-not-divided",
    "layers-not-last",
    "layers-of-no-name",
    "layers-split-twice",
    "layers-that-differ",
    "missing-fabric-and-network",
    "neighbours-against-experts",
    "nodes-of-no-neighbours",
    "pairs-of-one-pipeline",
    "precision-by-default",
    "precision-of-device",
    "replicas-not-whole",
    "scales-of-no-fp8",
    *("scatter-sends-under-torch", "scatter-sends-with-sequence"),
    "selective-without-attention",
    "sequence-against-tensor",
    "sequence-without-tensor",
    "sharding-formats",
    "sharding-keys",
    "sharding-of-experts",
    "tensor-against-heads",
    "tensor-against-key-value-heads",
    "tensor-of-few-places",
    "tensor-of-image-model",
    "too-many-devices",
    "too-many-microbatches",
    "virtual-stages-without-interleaving",
    "vocabulary-not-padded",
    "whole-experts-against-tensor",
    "whole-experts-in-part",
    # of models
    "experts-of-another-kind",
    "model-file-is-a-plan",
    "model-file-missing",
    "model-file-without-length",
    "top-k-above-experts",
    # of the network
    "async-tensor-without-sequence",
    "background-faults",
    "background-of-a-faulty-plan",
    "background-on-a-switch",
    "background-on-one-node",
    "background-overlaps",
    "background-too-large",
    "background-without-end",
    "cable-that-is-none",
    "degree-too-large",
    "dragonfly-missing",
    "fat-tree-against-nodes",
    "file-missing",
    "hypercube-against-nodes",
    "leaves-against-nodes",
    "node-cube-of-four",
    "node-on-rails",
    "node-parameters",
    "node-without-pcie",
    "odd-fat-tree",
    "operators-of-convolutions",
    "parameter-missing-random-regular",
    "parameter-of-a-family-on-a-switch",
    "parameter-of-another-family",
    "parameters-missing",
    "probability-and-degree",
    "random-not-connected",
    "ring-order-not-whole",
    "routing-without-a-grid",
    "routing-without-tiers",
    "too-large-a-graph",
    "torus-against-nodes",
    "wheel-too-small",
    "whole-layers",
    "chosen-blocks",
    "chosen-blocks-of-no-name",
    "layer-states",
    "sharding-keys-without-zero",
    "layer-tokens",
}


def readable(path: Path) -> bool:
    try:
        tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError:
        return False
    return True


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_shipped_plans_are_valid_as_written_and_as_dumped(validator, path):
    validator.validate(tomllib.loads(path.read_text(encoding="utf-8")))
    is_one = "[collective]" in path.read_text(encoding="utf-8")
    plan = (CollectivePlan if is_one else Plan).load(path)
    validator.validate(tomllib.loads(plan.dump()))


@pytest.mark.parametrize(
    "path", [path for path in MALFORMED if readable(path)], ids=lambda path: path.stem
)
def test_structure_that_the_loader_refuses_is_refused_by_the_schema(validator, path):
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    assert validator.is_valid(content) == (path.stem in ARITHMETIC)


def test_every_key_has_a_description():
    schema = json_schema()
    tables = [schema, *schema["$defs"].values()]
    described = {
        key: "description" in value or "$ref" in value
        for table in tables
        for key, value in table["properties"].items()
    }
    assert all(described.values()), described
    assert len(described) >= len({key.rpartition(".")[2] for key in plan_keys()})


def test_names_are_enumerated_and_quantities_have_a_pattern():
    defs = json_schema()["$defs"]
    assert "gpt3-175b" in defs["ModelSection"]["properties"]["name"]["enum"]
    named, file = defs["ClusterSection"]["properties"]["device"]["anyOf"]
    assert "a100-sxm4-80gb" in named["enum"]
    assert file == {"pattern": r"\.toml$"}
    assert "infiniband-hdr" in defs["NetworkSection"]["properties"]["link"]["enum"]
    assert "pattern" in defs["NetworkSection"]["properties"]["bandwidth"]


@pytest.mark.parametrize(
    ("key", "text", "is_valid"),
    [
        ("bandwidth", "200 Gbit/s", True),
        ("bandwidth", "25GB/s", True),
        ("bandwidth", "25 GiB/s", True),
        ("bandwidth", "100 Gbps", True),
        ("bandwidth", "25 GB", False),
        ("bandwidth", "25", False),
        ("latency", "1.5 us", True),
        ("latency", "2e-6 s", True),
        ("latency", "5 Gbit/s", False),
    ],
)
def test_patterns_agree_with_the_loader(validator, key, text, is_valid):
    content = tomllib.loads(
        (ROOT / "plans" / "gpt-175b-512gpu.toml").read_text(encoding="utf-8")
    )
    content["cluster"]["network"][key] = text
    assert validator.is_valid(content) == is_valid
    if is_valid:
        Plan.from_mapping(content)


def test_committed_schema_is_the_generated_one() -> None:
    # Editors read the file; regenerate with: simulate schema > plans/plan.schema.json
    committed = (ROOT / "plans" / "plan.schema.json").read_text("utf-8")
    assert json_schema() == json.loads(committed)
