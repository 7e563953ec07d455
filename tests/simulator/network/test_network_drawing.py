"""Every family can be drawn, the same each time, with its loads as colour."""

import numpy as np
import pytest

from simulator.plot.network import draw, positions
from topologies.graphs import build, routes

LINK = {"bandwidth": 12.5e9, "latency": 5e-7}
FAMILIES = [
    ("ring", {"hosts": 8}),
    ("wheel", {"hosts": 9}),
    ("random-regular", {"hosts": 80, "degree": 3}),
    ("torus", {"shape": [4, 4]}),
    ("torus", {"shape": [3, 3, 3]}),
    ("fat-tree", {"k": 4}),
    ("dragonfly", {"a": 2, "h": 1, "p": 1, "g": 3}),
]


@pytest.mark.parametrize(("family", "parameters"), FAMILIES)
@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_same_network_gives_the_same_bytes(tmp_path, family, parameters, suffix):
    network = build(family, **parameters, **LINK)
    load = routes(network, [(0, 1), (2, 0)]).loads(1.0, network.num_links)
    paths = [tmp_path / f"{name}.{suffix}" for name in "ab"]
    for path in paths:
        draw(network, load, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize(("family", "parameters"), FAMILIES)
def test_no_two_nodes_are_in_one_place(family, parameters):
    network = build(family, **parameters, **LINK)
    places = np.round(positions(network), 6)
    assert places.shape == (network.num_nodes, 2)
    assert len(np.unique(places, axis=0)) == network.num_nodes


def test_without_loads_there_is_no_scale():
    network = build("ring", hosts=4, **LINK)
    assert len(draw(network).axes) == 1
    assert len(draw(network, np.zeros(8)).axes) == 2


def test_what_cannot_be_drawn_is_refused(tmp_path):
    network = build("ring", hosts=4, **LINK)
    with pytest.raises(ValueError, match=r"\.svg or \.png"):
        draw(network, path=tmp_path / "net.gif")
    with pytest.raises(ValueError, match="8 links"):
        draw(network, [1.0])
