"""What namespaces are told to set up is what the wiring routes; no network needed."""

import re
from itertools import permutations

import pytest

from calibration.emulation.blueprint import (
    address_of,
    cable_name,
    chambers,
    ways,
)
from calibration.emulation.errors import EmulationError
from calibration.emulation.shape import Shape, Shaped, lines
from topologies.graphs import build
from topologies.graphs.network import Cable, wired
from topologies.graphs.wiring import Wiring, usual_paths

LINK = {"bandwidth": 12.5e6, "latency": 0.002}
GRAPHS = [
    ("ring", {"hosts": 6}),
    ("wheel", {"hosts": 7}),
    ("random", {"hosts": 9, "probability": 0.3, "seed": 2}),
    ("star", {"hosts": 5}),
    ("torus", {"shape": [3, 3]}),
    ("fat-tree", {"k": 4}),
]


def wiring_of(family, parameters):
    network = build(family, **parameters, **LINK)
    return Wiring(network=network, paths=usual_paths(network), spread="one")


@pytest.mark.parametrize(("family", "parameters"), GRAPHS)
def test_following_the_next_links_takes_the_predicted_route(family, parameters):
    wiring = wiring_of(family, parameters)
    network, found = wiring.network, ways(wiring)
    pairs = list(permutations(range(network.num_hosts), 2))
    routes = wiring.routes(pairs)
    for number, (sender, receiver) in enumerate(pairs):
        node, taken = sender, []
        while node != receiver:
            taken.append(found.onward[node][receiver])
            node = int(network.target[taken[-1]])
        assert sorted(taken) == routes.of(number)[0].tolist()
        assert all((sender, receiver) in found.pairs[link] for link in taken)


def test_routes_that_no_table_can_hold_are_refused():
    # Split over two ways round, what leaves host 0 for host 2 takes two links.
    square = Wiring(network=build("ring", hosts=4, **LINK), spread="split")
    with pytest.raises(EmulationError, match="one route to every host"):
        ways(square)


@pytest.mark.parametrize(("family", "parameters"), GRAPHS)
def test_both_ends_of_every_cable_know_each_other(family, parameters):
    network = wiring_of(family, parameters).network
    told = [
        "\n".join(chamber.ip)
        for chamber in chambers(
            wiring_of(family, parameters), Shape(), with_delay=False
        )
    ]
    for link in range(network.num_links):
        here, there = int(network.source[link]), int(network.target[link])
        name = cable_name(link)
        (own,) = re.findall(rf"link set {name} address (\S+)", told[here])
        (known,) = re.findall(rf"lladdr (\S+) dev {name}\b", told[there])
        assert own == known


def test_addresses_are_different_and_neither_networks_nor_broadcasts():
    addresses = [address_of(node) for node in range(1000)]
    assert len(addresses) == len(set(addresses))
    assert {address.split(".")[-1] for address in addresses}.isdisjoint({"0", "255"})


def test_a_link_is_shaped_to_its_bandwidth_in_bits():
    link = Shaped("cable3", 12.5e6, 0.0, [("10.77.0.1", "10.77.0.2")])
    for queueing in ("fair", "first-come"):
        text = "\n".join(lines(link, Shape(queueing=queueing)))
        assert "rate 100000000bit" in text
        assert "netem" not in text


def test_every_pair_that_crosses_a_fair_link_has_a_class_of_its_own():
    pairs = [("10.77.0.1", f"10.77.0.{k}") for k in range(2, 40)]
    text = "\n".join(lines(Shaped("cable3", 1e7, 0.0, pairs), Shape()))
    flows = re.findall(r"match ip src .* flowid (\S+)", text)
    assert len(pairs) == len(set(flows))
    assert set(flows) <= set(re.findall(r"classid (\S+)", text))


@pytest.mark.parametrize("queueing", ["fair", "first-come"])
def test_latency_is_a_delay_where_there_is_one(queueing):
    link = Shaped("cable3", 12.5e6, 0.002, [("10.77.0.1", "10.77.0.2")])
    text = "\n".join(lines(link, Shape(queueing=queueing)))
    assert "netem delay 2000.000us" in text


def test_links_have_their_latency_only_if_it_is_asked_for():
    wiring = wiring_of("ring", {"hosts": 4})
    for with_delay in (True, False):
        told = chambers(wiring, Shape(), with_delay=with_delay)
        has_netem = ["netem" in "\n".join(chamber.tc) for chamber in told]
        assert [with_delay] * 4 == has_netem


def test_parallel_cables_have_interfaces_of_their_own():
    cable = Cable(0, 1, 1e7, 0.0)
    wiring = Wiring(network=wired("pair", 2, [cable, cable]), spread="one")
    told = chambers(wiring, Shape(), with_delay=False)
    assert [veth.name for veth in told[0].veths] == ["cable0", "cable1"]
    assert told[1].veths == []


def test_payload_is_what_headers_leave():
    # 1500 - 20 - 20 - 12 of every 1500 + 14 bytes.
    assert Shape(mtu=1500).payload_share == 1448 / 1514
