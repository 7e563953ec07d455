"""Plans of one collective: what is refused, and what is predicted."""

import json
import tomllib
from pathlib import Path

import pytest

from simulator.cli import main
from simulator.collectives.table import TABLE
from simulator.errors import PlanError
from simulator.one_collective.plan import CollectivePlan
from simulator.one_collective.report import collective_report
from simulator.one_collective.result import bus_factor, predict_collective
from simulator.plan import Plan

PATH = Path(__file__).parents[2] / "plans" / "all-reduce-8-a100.toml"


@pytest.fixture(scope="module")
def plan():
    return CollectivePlan.load(PATH)


def test_bandwidths_are_those_of_nccl_tests(plan):
    result = predict_collective(plan)
    size = plan.collective.size
    assert result.algbw == size / result.time_s
    assert result.busbw == result.algbw * 2 * 7 / 8
    assert bus_factor("all-gather", 8) == 7 / 8
    assert bus_factor("broadcast", 8) == 1


def test_bytes_and_steps_are_those_of_the_algorithm(plan):
    (part,) = predict_collective(plan).parts
    assert (part.algorithm, part.steps) == ("ring", 14)
    assert part.wire_bytes == 14 * plan.collective.size


def test_patterns_in_a_row_add_up(plan):
    def time(pattern):
        return predict_collective(plan.replace({"collective.pattern": pattern})).time_s

    both = time("reduce-scatter + all-gather")
    assert both == time("reduce-scatter") + time("all-gather")


def test_calls_divide_the_message(plan):
    once = predict_collective(plan.replace({"collective.size": "16 MiB"})).time_s
    four = predict_collective(plan.replace({"collective.calls": 4})).time_s
    assert four == 4 * once


def test_fewer_ranks_than_devices(plan):
    few = plan.replace({"collective.ranks": 2})
    assert few.num_ranks == 2
    (part,) = predict_collective(few).parts
    assert part.steps == 2


def test_one_rank_sends_nothing(plan):
    result = predict_collective(plan.replace({"collective.ranks": 1}))
    assert (result.time_s, result.algbw) == (0.0, 0.0)


@pytest.mark.parametrize(("pattern", "algorithm"), TABLE)
def test_one_device_takes_no_time_by_any_algorithm(plan, pattern, algorithm):
    """A device alone has no link, so no product of latency and bandwidth."""
    one = {"cluster.devices_per_node": 1, "collective.pattern": pattern}
    for name in (algorithm, "auto"):
        result = predict_collective(plan.replace(one | {"collective.algorithm": name}))
        assert (result.time_s, result.parts[0].wire_bytes) == (0.0, 0.0)
    assert result.parts[0].pattern == pattern


def test_servers_share_what_workers_push(plan):
    def port_time(servers):
        changes = {"collective.pattern": "push", "collective.servers": servers}
        changes["collective.algorithm"] = "sharded"
        return predict_collective(plan.replace(changes)).time_s

    assert port_time(8) < port_time(2) < port_time(1)


def test_a_dump_reads_back_as_the_same_plan(plan):
    assert CollectivePlan.from_mapping(tomllib.loads(plan.dump())) == plan


def test_a_report_says_what_was_chosen(plan):
    text = collective_report(predict_collective(plan))
    assert "all-reduce by ring, protocol simple" in text
    assert "8 ranks on 1 x 8 a100-sxm4-80gb" in text


def test_numbers_are_json(plan):
    content = predict_collective(plan).to_json()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert {"collective_time_s", "algbw_bytes_per_s", "parts"} <= content.keys()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("collective.pattern=all-reduc", "did you mean 'all-reduce'"),
        ("collective.algorithm=rin", "did you mean 'ring'"),
        ("collective.algorithm=ring + ring", "names 2 for 1 patterns"),
        ("collective.ranks=9", "9 ranks on 8 devices"),
        ("collective.size=64", "takes text with a unit"),
        ("collective.size=1e30 EB", "must be at most 1 EiB, got '1e30 EB'"),
        ("collective.sise=64 MB", "did you mean 'size'"),
        ("collective.protocol=ll", "nvlink-3 has no 'll' in this profile"),
        ("cluster.profile=a101", "did you mean 'a100'"),
        ("model.name=gpt2", "a table of another kind of plan"),
        ("collective.servers=9", "servers"),
        ("collective.ring_order=rank", 'on a "switch" every pair has a path'),
        ("collective.ring_order=[0, 0]", "has node 0 twice"),
    ],
)
def test_what_is_wrong_is_said(change, message):
    changes = [change]
    if "servers" in change:
        changes.append("collective.pattern=push")
    with pytest.raises(PlanError) as error:
        CollectivePlan.load(PATH, changes)
    assert message in str(error.value)


def test_a_plan_of_training_takes_no_collective():
    with pytest.raises(PlanError) as error:
        Plan.load(PATH)
    (fault,) = error.value.faults
    assert (fault.key, fault.line) == ("collective", 5)


def test_a_collective_is_no_job_in_the_background():
    other = {"plan": str(PATH), "first_node": 0}
    network = {"topology": "star", "link": "infiniband-hdr"}
    changes = {"nodes": 2, "network": network, "background": [other]}
    with pytest.raises(PlanError, match="here a plan of training is needed"):
        CollectivePlan.load(PATH).replace(
            {f"cluster.{key}": value for key, value in changes.items()}
        )


def test_scale_takes_plans_of_training(capsys):
    with pytest.raises(SystemExit) as end:
        main(["scale", str(PATH), "--over", "cluster.nodes=1,2"])
    assert end.value.code
    assert "`simulate scale` takes plans of training" in capsys.readouterr().err


def test_a_protocol_that_does_not_serve_an_algorithm_is_a_fault():
    changes = ["collective.protocol=nvls", "collective.algorithm=ring"]
    device = ["cluster.device=h100-sxm5-80gb", "cluster.fabric=nvlink-4"]
    plan = CollectivePlan.load(PATH, [*changes, *device])
    with pytest.raises(PlanError) as error:
        predict_collective(plan)
    assert "no all-reduce by ring for 8 ranks under nvls" in str(error.value)
