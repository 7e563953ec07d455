"""Bytes on links: those of every send along its route, and what reports say of them."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.api import simulate
from simulator.collectives.options import Options
from simulator.collectives.table import TABLE
from simulator.reporting.report import text_report
from simulator.results.links import busiest, link_bytes, utilization
from simulator.workload import Message
from tests.laws.small_plans import meshes, networked

EXACT = 1e-12
laws = settings(derandomize=True, deadline=None, max_examples=15, database=None)


def analytical(*arguments, **choices):
    return simulate(networked(*arguments, **choices), engine="analytical")


def sent_one_by_one(result):
    """Bytes on every link, each send of each group along its own route."""
    located = result.job.located
    carrier, workload = located.carrier, located.workload
    total = np.zeros(len(carrier.router.bandwidth))
    for op in workload.ops:
        if op.body not in located.traffic:
            continue
        (message,) = op.body.items
        assert isinstance(message, Message)
        roles = [workload.roles[rank] for rank in op.ranks]
        for group in carrier.mesh.groups(message, roles):
            for sender, receiver, size in sends(message, group, carrier):
                route = carrier.router.routes([(sender, receiver)])
                total[route.link] += route.fraction * size
    return total


def sends(message, group, carrier):
    """Every send of a message: sender, receiver, and bytes."""
    if message.pattern == "send":
        yield *group, message.size
        return
    row = TABLE[message.pattern, "tree" if message.axis == "model" else "ring"]
    ring = group if row.name == "tree" else carrier.rings.ordered(group)
    for each in row.rounds(len(ring), message.size, Options()):
        pairs = zip(each.sender, each.receiver, each.size, strict=True)
        for sender, receiver, size in pairs:
            yield ring[sender], ring[receiver], size * each.count


@given(meshes(), st.sampled_from(["star", "ring", "wheel", "full"]), st.booleans())
@laws
def test_links_carry_the_bytes_of_every_send(choices, topology, is_folded):
    nodes = choices["tensor"] * choices["pipeline"] * choices["data"]
    if topology == "wheel" and nodes < 4:
        topology = "full"
    small = networked(topology, **choices)
    result = simulate(small, engine="analytical", is_folded=is_folded)
    carried = link_bytes(result)
    assert carried == pytest.approx(sent_one_by_one(result), rel=EXACT, abs=1e-6)
    assert np.array_equal(carried, result.link_bytes)


@given(st.integers(2, 9), st.sampled_from(["40 kB", "1 GB"]), st.booleans())
@laws
def test_on_a_star_every_byte_crosses_two_links(data, bucket, overlap):
    """Σ links = 2 · wire bytes, which are in proportion to the sum of the buckets."""
    choices = {"data": data, "bucket": bucket, "overlap": overlap, "layers": 3}
    result = analytical("star", **choices)
    (row,) = result.ledger
    wire = TABLE["all-reduce", "ring"].wire_bytes(row.bytes, data)
    assert wire == pytest.approx(2 * (data - 1) * row.bytes, rel=EXACT)
    assert link_bytes(result).sum() == pytest.approx(2 * wire, rel=EXACT)


@given(meshes())
@laws
def test_the_ledger_does_not_depend_on_the_network(choices):
    switch = analytical("switch", **choices)
    for topology in ("star", "ring", "full"):
        assert analytical(topology, **choices).ledger == switch.ledger
    assert switch.link_bytes is None
    assert "network" not in switch.to_json()


def test_both_engines_put_the_same_bytes_on_links():
    choices = {"data": 3, "pipeline": 2, "overlap": True}
    event = simulate(networked("ring", **choices))
    assert np.array_equal(link_bytes(event), link_bytes(analytical("ring", **choices)))


@given(meshes())
@laws
def test_no_link_of_an_idle_network_carries_more_than_it_can(choices):
    result = simulate(networked("ring", **choices))
    assert np.all(utilization(result) <= 1 + 1e-9)


def test_utilization_is_bytes_over_what_the_link_could_carry():
    """Each forward link of a ring of n has 2 (n - 1) / n · S, the way back none."""
    result = analytical("ring", data=4, hidden=512, order="rank")
    (row,) = result.ledger
    carried = 2 * (4 - 1) / 4 * row.bytes
    links = busiest(result, 100)
    assert len(links) == 4
    for link in links:
        assert link.bytes == pytest.approx(carried, rel=EXACT)
        rate = float(result.job.located.carrier.router.bandwidth[0])
        expected = carried / (rate * result.step_time_s)
        assert link.utilization == pytest.approx(expected, rel=EXACT)
    assert {"host 0 → host 1", "host 3 → host 0"} <= {link.name for link in links}


def test_the_report_and_json_name_the_busiest_links():
    result = simulate(networked("ring", data=4, hidden=512))
    text, data = text_report(result), result.to_json()
    assert "network: ring of 4" in text
    assert "all-reduce  data 4" in text
    assert "host 0 → host 1" in text
    network = json.loads(json.dumps(data, allow_nan=False))["network"]
    assert set(network) == {"ring_orders", "busiest_links", "approximate"}
    assert len(network["busiest_links"]) == 4
    assert network["busiest_links"][0]["name"].startswith("host ")
