"""What a prediction says of the messages of a step, and of how they are run."""

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.api import simulate
from simulator.collectives.table import TABLE
from simulator.network import traffic
from simulator.pricing.choice import choose
from simulator.reporting.messages import messages_text
from simulator.reporting.report import text_report
from simulator.results.messages import mean_count
from tests.laws.small_plans import networked, plan, plans

LARGE = {"hidden": 512, "data": 8}
AUTO = {"algorithm": "auto"}
SPLIT = {"tensor": 2, "data": 2, "pipeline": 2}


def rows_of(result):
    rows, _ = result.messages
    return rows


def kinds_of(result):
    return {row.kind for row in rows_of(result)}


# -- figures ---------------------------------------------------------------------------


def assert_exposed_times_add_up(result):
    rows, slowed = result.messages
    total = sum(row.exposed_s for row in rows) + slowed
    expected = result.breakdown.exposed_communication_s
    assert expected == pytest.approx(total, rel=1e-9, abs=1e-9 * result.step_time_s)


@given(plans(), st.sampled_from(["analytical", "event"]))
@settings(derandomize=True, deadline=None, max_examples=40)
def test_exposed_times_add_up_to_exposed_communication(small, engine):
    assert_exposed_times_add_up(simulate(small, engine=engine))


@pytest.mark.parametrize("topology", ["ring", "star"])
@pytest.mark.parametrize("overlap", [False, True])
def test_on_shared_links_as_well(topology, overlap):
    choices = {**SPLIT, "sequence": True, "overlap": overlap, "overlap_tensor": overlap}
    assert_exposed_times_add_up(simulate(networked(topology, **choices)))


@pytest.mark.parametrize(
    "name", ["mixtral-8x7b-64gpu", "llama3-8b-128gpu-fsdp", "alexnet-8k20-hybrid"]
)
def test_of_every_split(name):
    assert_exposed_times_add_up(simulate(f"plans/{name}.toml"))


def test_kernels_lose_time_beside_messages_only_where_they_overlap():
    fsdp = simulate("plans/llama3-8b-128gpu-fsdp.toml")
    assert fsdp.messages[1] > 0
    assert "kernels beside them" in text_report(fsdp)
    assert simulate(plan(data=2)).messages[1] == 0


def test_counts_are_those_of_one_device():
    """Of 2 stages with 3 blocks each, 5 micro-batches, 2 tensor ranks.

    A block sums over tensor ranks after attention and after its MLP, forward and
    backward: 4 x 3 x 5 times; the first stage also sums the embedding, the last one the
    gradient of the head's input: 65 each. Every stage sends each micro-batch on once,
    in parts, which the next one gathers.
    """
    small = plan(**SPLIT, layers=6, microbatches=5)
    hidden = 2.0 * 64 * 32  # of fp16, micro-batch 1 [B]
    count = {
        row.kind.name: row.count
        for row in rows_of(simulate(small))
        if row.kind.axis == "pipeline" or row.kind.bytes == hidden
    }
    gathered = {"all-reduce": 65, "all-gather": 5}
    assert count == {**gathered, "send F": 5, "send B": 5}


def test_sizes_of_unlike_devices_on_one_line_do_not_add_up():
    """Each of 3 stages sums its gradients once, and the outer two more of them."""
    result = simulate(plan(pipeline=3, data=2, layers=6, overlap=False))
    rows = [row for row in rows_of(result) if row.kind.axis == "data"]
    assert len(rows) > 1
    assert [1.0] * len(rows) == [row.count for row in rows]
    assert mean_count(rows) == 1
    (line,) = (one for one in messages_text(result).splitlines() if " data 2 " in one)
    assert line.split()[:4] == ["all-reduce", "data", "2", "1"]


def test_a_message_between_kernels_is_exposed_as_long_as_it_takes():
    rows = rows_of(simulate(plan(tensor=2)))
    for row in rows:
        if row.kind.axis == "tensor":
            assert row.exposed_s == row.alone_s > 0


@pytest.mark.parametrize("overlap", [True, False])
def test_folding_does_not_change_what_is_said(overlap):
    """Beside kernels the host's lateness is told apart only where each is an op."""
    small = plan(**SPLIT, overlap_tensor=overlap)

    def said(result):
        return {
            row.kind: (row.count, row.alone_s, 0 if overlap else row.exposed_s)
            for row in rows_of(result)
        }

    folded, written_out = said(simulate(small)), said(simulate(small, is_folded=False))
    assert set(folded) == set(written_out)
    for kind, figures in folded.items():
        assert written_out[kind] == pytest.approx(figures, rel=1e-9, abs=1e-15)


# -- algorithms ------------------------------------------------------------------------


def test_auto_says_which_it_chose_on_a_switch():
    result = simulate(networked("switch", **LARGE, **AUTO))
    (kind,) = kinds_of(result)
    assert (kind.op, kind.axis, kind.ranks) == ("all-reduce", "data", 8)
    assert ("all-reduce", kind.algorithm) in TABLE
    assert f"{kind.algorithm}, simple" in text_report(result)


def test_what_is_said_is_what_was_priced():
    result = simulate(networked("switch", **LARGE, **AUTO, tensor=2))
    job = result.job
    kinds = {(kind.bytes, kind.algorithm) for kind in kinds_of(result)}
    for body, price in job.prices.items():
        if len(body.items) == 1 and getattr(body.items[0], "axis", "") == "data":
            (message,) = body.items
            how = choose(
                message.pattern,
                message.size,
                job.pricer.group(message),
                job.pricer.allowed(message),
            )
            assert how.time == price.busy
            assert (message.size, how.algorithm) in kinds


@pytest.mark.parametrize("topology", ["switch", "ring"])
def test_json_names_every_kind_of_message_once(topology):
    data = simulate(networked(topology, **SPLIT, sequence=True)).to_json()
    rows = json.loads(json.dumps(data, allow_nan=False))["messages"]
    figures = {"count", "alone_s", "exposed_s"}
    what = {"name", "op", "axis", "bytes", "ranks", "algorithm", "protocol"}
    assert all(set(row) == what | figures for row in rows)
    kinds = Counter(tuple(row[key] for key in what) for row in rows)
    assert set(kinds.values()) == {1}
    ledger = {(row["op"], row["axis"]) for row in data["ledger"]}
    assert ledger == {(row["op"], row["axis"]) for row in rows}


def test_algorithms_are_not_shown_without_a_choice():
    assert "ring, simple" not in text_report(simulate(networked("switch", **LARGE)))
    assert "ring, simple" in text_report(simulate(networked("ring", **LARGE)))


def test_one_device_sends_nothing():
    assert not messages_text(simulate(networked("switch", data=1, nodes=1, **AUTO)))


def test_sizes_that_are_run_alike_are_one_line():
    choices = {"data": 4, "layers": 4, "hidden": 128, "bucket": "400 kB"}
    result = simulate(networked("switch", **choices, **AUTO, overlap=True))
    kinds = kinds_of(result)
    alike = {kind._replace(bytes=0.0) for kind in kinds}
    assert len(kinds) > len(alike)
    assert messages_text(result).count("data 4") == len(alike)


def test_what_does_not_fit_in_the_table_is_counted():
    result = simulate("plans/mixtral-8x7b-64gpu.toml")
    lines = messages_text(result).splitlines()
    assert len(lines) <= 12
    assert lines[-1].startswith("    and ")
    assert lines[-1].endswith(" exposed")


@pytest.mark.parametrize("engine", ["event", "analytical"])
def test_a_step_says_what_of_it_is_approximate(monkeypatch, engine):
    small = networked("ring", data=6, hidden=64, algorithm="tree")
    assert simulate(small).to_json()["network"]["approximate"] == []
    monkeypatch.setattr(traffic, "MAX_MESSAGES", 1)
    result = simulate(small, engine=engine)
    (text,) = result.to_json()["network"]["approximate"]
    assert "10 messages" in text
    assert f"approximate: {text}" in text_report(result)
