"""What a plan is: loading, what is worked out, replacing, dumping, hashing."""

import pickle
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import PlanError
from simulator.plan import Plan
from simulator.plans.records import plan_keys

PLANS = [
    path
    for path in sorted(Path(__file__).parents[2].joinpath("plans").glob("*.toml"))
    if "[collective]" not in path.read_text("utf-8")
]
GPT = Path(__file__).parents[2] / "plans" / "gpt-175b-512gpu.toml"


@pytest.fixture
def gpt() -> Plan:
    return Plan.load(GPT)


def small(**tables) -> dict:
    plan = {
        "model": {"name": "gpt2"},
        "batch": {"global": 8, "micro": 1},
        "cluster": {"device": "a100-sxm4-80gb"},
    }
    return plan | tables


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_dump_of_every_shipped_plan_reads_back_as_the_same_plan(path):
    plan = Plan.load(path)
    again = Plan.from_mapping(tomllib.loads(plan.dump()))
    assert again == plan
    assert again.dump() == plan.dump()
    assert again.content_hash == plan.content_hash


def test_everything_inside_is_in_si_units(gpt):
    plan = gpt.replace(
        {"cluster.network.bandwidth": "100 Gbit/s", "cluster.network.latency": "5 us"}
    )
    network = plan.build_cluster().network
    assert (network.bandwidth, network.latency) == (12.5e9, 5e-6)
    assert plan.synchronization.bucket == 25e6


def test_data_parallelism_follows_from_the_cluster(gpt):
    assert gpt.parallelism.data == 8
    assert gpt.world_size == 512
    assert gpt.num_microbatches == 96  # 1536 / (2 micro x 8 data)


def test_what_was_worked_out_is_worked_out_again_after_a_change(gpt):
    assert gpt.replace({"parallelism.tensor": 4}).parallelism.data == 16
    half = gpt.replace({"training.precision": "bf16"})
    assert half.training.gradient_precision == "bf16"


def test_an_explicit_data_degree_is_checked_not_replaced(gpt):
    plan = gpt.replace({"parallelism.data": 8})
    with pytest.raises(PlanError, match="4 tensor x 8 pipeline x 8 data = 256 devices"):
        plan.replace({"parallelism.tensor": 4})
    assert plan.replace({"parallelism.data": None}) == gpt


def test_given_and_worked_out_values_have_the_same_content(gpt):
    given_too = gpt.replace({"parallelism.data": 8})
    assert given_too == gpt
    assert given_too.content_hash == gpt.content_hash
    assert len(gpt.content_hash) == 64


def test_content_hash_moves_with_any_value(gpt):
    changed = gpt.replace({"cluster.network.latency": "5 us"})
    assert changed.content_hash != gpt.content_hash


@pytest.mark.parametrize(
    ("precision", "gradient"),
    [("bf16", "bf16"), ("fp16", "fp16"), ("fp32", "fp32"), ("tf32", "fp32")],
)
def test_gradients_are_summed_in_the_precision_of_compute(precision, gradient):
    plan = Plan.from_mapping(small(training={"precision": precision}))
    assert plan.training.gradient_precision == gradient


def test_plans_are_frozen_hashable_and_survive_a_worker(gpt):
    with pytest.raises(Exception, match="frozen"):
        gpt.batch.micro = 4  # type: ignore[misc]  # that is the test
    assert len({gpt, Plan.load(GPT)}) == 1
    assert pickle.loads(pickle.dumps(gpt)) == gpt


def test_plan_errors_survive_a_worker():
    with pytest.raises(PlanError) as caught:
        Plan.from_mapping({})
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


def test_equal_models_are_one_object(gpt):
    other = gpt.replace({"parallelism.tensor": 4})
    assert other.build_model() is gpt.build_model()


def test_one_device_needs_neither_fabric_nor_network():
    cluster = Plan.from_mapping(small()).build_cluster()
    assert cluster.num_devices == 1
    assert cluster.fabric.latency == cluster.network.latency == 0


def test_dimensions_override_a_published_model():
    plan = Plan.from_mapping(small(model={"name": "gpt2", "layers": 24}))
    assert plan.build_model().num_blocks == 24


def test_mlp_family_takes_widths():
    plan = Plan.from_mapping(small(model={"family": "mlp", "widths": [8, 16, 4]}))
    assert plan.build_model().num_blocks == 2
    assert Plan.from_mapping(tomllib.loads(plan.dump())) == plan


def test_from_mapping_leaves_its_argument_alone():
    mapping = small(cluster={"device": "a100-sxm4-80gb", "nodes": 1})
    Plan.from_mapping(mapping, {"cluster.nodes": 1, "training.precision": "fp16"})
    assert mapping == small(cluster={"device": "a100-sxm4-80gb", "nodes": 1})


@pytest.mark.parametrize("value", ["4", "true", "4.0", "''", "25 MB"])
def test_overrides_of_the_command_line_are_toml_values_or_text(value):
    with pytest.raises(PlanError, match=r"--set batch\.micro="):
        Plan.load(GPT, [f"batch.micro={value}x"])


def test_a_byte_order_mark_is_no_fault(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GPT.read_bytes())
    assert Plan.load(path) == Plan.load(GPT)


def test_windows_line_ends_are_no_fault(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_bytes(GPT.read_bytes().replace(b"\n", b"\r\n"))
    assert Plan.load(path) == Plan.load(GPT)


def test_plan_keys_are_the_dotted_paths_of_the_contract():
    keys = plan_keys()
    for key in ("parallelism.tensor", "batch.global", "cluster.network.latency"):
        assert key in keys


quantities = st.floats(
    min_value=1e-300, max_value=1e300, allow_nan=False, allow_infinity=False
)


@given(
    title=st.text(st.characters(exclude_categories=["Cs"])),
    bucket=quantities,
    latency=quantities,
    bandwidth=quantities,
    tensor=st.sampled_from([1, 2, 4]),
    overlap=st.booleans(),
    data=st.booleans(),
    bound=st.tuples(st.sampled_from(["<", "<=", ">", ">="]), quantities),
)
def test_load_of_dump_is_the_plan(  # noqa: PLR0917 - what a plan holds
    title, bucket, latency, bandwidth, tensor, overlap, data, bound
):
    plan = Plan.from_mapping(
        {
            "title": title,
            "model": {"name": "gpt2", "vocabulary": 51200},
            "batch": {"global": 16, "micro": 1},
            "parallelism": {"tensor": tensor} | ({"data": 8 // tensor} if data else {}),
            "synchronization": {"overlap": overlap, "bucket": f"{bucket!r} B"},
            "cluster": {
                "device": "a100-sxm4-80gb",
                "nodes": 2,
                "devices_per_node": 4,
                "fabric": "nvlink-3",
                "network": {
                    "link": "infiniband-hdr",
                    "latency": f"{latency!r} s",
                    "bandwidth": f"{bandwidth!r} B/s",
                },
            },
            "expect": {"step_time": f"{bound[0]} {bound[1]!r} s"},
        }
    )
    again = Plan.from_mapping(tomllib.loads(plan.dump()))
    assert again == plan
    assert again.synchronization.bucket == bucket
    assert again.content_hash == plan.content_hash
    assert again.dump() == plan.dump()
