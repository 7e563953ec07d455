"""Ranks inside the hosts of an emulated network."""

import pytest

pytest.importorskip("torch.distributed")

from worlds import kill_one, network_namespace, sum_of_ranks

from calibration.emulation.machine import abilities
from calibration.emulation.network import EmulatedNetwork
from calibration.torch_engine.errors import RankError
from calibration.torch_engine.seats import in_hosts
from calibration.torch_engine.world import World
from topologies.graphs import build
from topologies.graphs.wiring import Wiring

pytestmark = pytest.mark.skipif(
    bool(abilities().reason) or not abilities().has_fair,
    reason=abilities().reason or "its kernel has no htb or u32",
)


def test_ranks_in_hosts_talk_over_the_emulated_network():
    ring = build("ring", hosts=3, bandwidth=12.5e6, latency=0.0)
    with EmulatedNetwork(Wiring(network=ring)) as network:
        with World(in_hosts(network, [0, 1, 2, 2])) as world:
            spaces = world.run(network_namespace)
            assert spaces[2] == spaces[3]
            assert len(set(spaces)) == 3
            assert [float(value) for value in world.run(sum_of_ranks)] == [6.0] * 4
        assert network.carried().sum() > 0


def test_a_failure_names_the_host():
    ring = build("ring", hosts=3, bandwidth=12.5e6, latency=0.0)
    with EmulatedNetwork(Wiring(network=ring)) as network:
        places = in_hosts(network, [2, 0])
        with (
            pytest.raises(RankError, match=r"rank 0 \(host 2\): was killed by SIGKILL"),
            World(places) as world,
        ):
            world.run(kill_one)
