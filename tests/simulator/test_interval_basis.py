"""An interval is called measured only for plans like those that were measured."""

from pathlib import Path

import pytest

from simulator.api import simulate
from simulator.plan import Plan
from simulator.reporting.notes import engine_notes

PLANS = Path(__file__).parents[2] / "plans"
GPT = Plan.load(PLANS / "gpt-175b-512gpu.toml").replace(
    {"cluster.nodes": 8, "parallelism.pipeline": 1, "batch.global": 16}
)


@pytest.mark.parametrize(
    ("changes", "is_measured"),
    [
        ({}, True),
        ({"cluster.network.link": "ethernet-100"}, False),
        ({"cluster.fabric": "pcie-4-x16"}, False),
        ({"cluster.network.topology": "star"}, False),
    ],
)
def test_an_interval_is_measured_on_known_links_that_nobody_shares(
    changes, is_measured
):
    result = simulate(GPT.replace(changes), engine="analytical")
    assert result.is_interval_measured == is_measured


def test_the_analytical_engine_says_that_it_leaves_out_cross_traffic():
    shared = Plan.load(PLANS / "gpt-1.3b-leaf-spine.toml")
    assert engine_notes(shared, "event") == []
    (note,) = engine_notes(shared, "analytical")
    assert "cross traffic is left out" in note
