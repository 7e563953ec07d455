"""What a prediction says of the algorithms and protocols of its collectives."""

import json

import pytest

from simulator.api import simulate
from simulator.collectives.table import TABLE
from simulator.collectives.use import collectives
from simulator.network import traffic
from simulator.pricing.choice import choose
from simulator.reporting.report import text_report
from tests.laws.small_plans import networked, plan

LARGE = {"hidden": 512, "data": 8}
AUTO = {"algorithm": "auto"}


def test_auto_says_which_it_chose_on_a_switch():
    result = simulate(networked("switch", **LARGE, **AUTO))
    (used,) = collectives(result.job)
    assert (used.op, used.axis, used.ranks) == ("all-reduce", "data", 8)
    assert ("all-reduce", used.algorithm) in TABLE
    expected = f"{used.described}: {used.algorithm}, protocol simple"
    assert expected in text_report(result)


def test_what_is_said_is_what_was_priced():
    job = simulate(networked("switch", **LARGE, **AUTO, tensor=2)).job
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
            kinds = {(used.bytes, used.algorithm) for used in collectives(job)}
            assert (message.size, how.algorithm) in kinds


@pytest.mark.parametrize("topology", ["switch", "ring"])
def test_json_names_every_kind_of_collective_once(topology):
    choices = {"tensor": 2, "data": 2, "pipeline": 2, "sequence": True}
    data = simulate(networked(topology, **choices)).to_json()
    rows = json.loads(json.dumps(data, allow_nan=False))["collectives"]
    fields = {"op", "axis", "bytes", "ranks", "algorithm", "protocol"}
    assert all(set(row) == fields for row in rows)
    assert len({tuple(row.values()) for row in rows}) == len(rows)
    ledger = {(row["op"], row["axis"]) for row in data["ledger"]}
    assert {(row["op"], row["axis"]) for row in rows} == {
        (pattern, axis) for pattern, axis in ledger if pattern != "send"
    }


@pytest.mark.parametrize("folded", [True, False])
def test_folding_does_not_change_what_is_said(folded):
    small = plan(tensor=2, data=2, pipeline=2, overlap_tensor=True)
    used = collectives(simulate(small, is_folded=folded).job)
    assert set(used) == set(collectives(simulate(small).job))


def test_without_a_choice_there_is_nothing_to_report():
    ring = simulate(networked("switch", **LARGE))
    assert "collectives" not in text_report(ring)
    alone = simulate(networked("switch", data=1, nodes=1, **AUTO))
    assert "collectives" not in text_report(alone)


def test_sizes_that_are_run_alike_are_one_line():
    choices = {"data": 4, "layers": 4, "hidden": 128, "bucket": "400 kB"}
    result = simulate(networked("switch", **choices, **AUTO, overlap=True))
    used = collectives(result.job)
    kinds = {each._replace(bytes=0.0) for each in used}
    text = text_report(result)
    assert len(used) > len(kinds)
    assert text.count("over 4 ranks (data)") == len(kinds)


@pytest.mark.parametrize("engine", ["event", "analytical"])
def test_a_step_says_what_of_it_is_approximate(monkeypatch, engine):
    small = networked("ring", data=6, hidden=64, algorithm="tree")
    assert simulate(small).to_json()["network"]["approximate"] == []
    monkeypatch.setattr(traffic, "MAX_MESSAGES", 1)
    result = simulate(small, engine=engine)
    (text,) = result.to_json()["network"]["approximate"]
    assert "10 messages" in text
    assert f"approximate: {text}" in text_report(result)
