"""Emulated networks: processes in hosts, routes, cables, and nothing left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest
from emulation_available import needs_emulation

from calibration.emulation.errors import EmulationError
from calibration.emulation.exchange import Flow, exchange
from calibration.emulation.network import EmulatedNetwork
from calibration.emulation.shape import Shape
from topologies.graphs import build
from topologies.graphs.wiring import Wiring

pytestmark = needs_emulation

LINK = {"bandwidth": 12.5e6, "latency": 0.0}
MARK = "EMULATION_TEST"
DEADLINE = 20.0  # seconds for processes to vanish; they take milliseconds


def emulated(family="ring", hosts=4, **parameters):
    network = build(family, hosts=hosts, **parameters, **LINK)
    return EmulatedNetwork(Wiring(network=network))


@pytest.fixture
def mark(monkeypatch):
    """A word in the environment of everything that this test starts."""
    word = uuid.uuid4().hex
    monkeypatch.setenv(MARK, word)
    return f"{MARK}={word}".encode()


def left_behind(mark, spaces):
    """Processes that carry the mark, or are in one of the namespaces."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = mark in (folder / "environ").read_bytes().split(b"\0")
            is_inside = str((folder / "ns" / "net").readlink()) in spaces
        except OSError:  # ended meanwhile, or of another user
            continue
        if is_ours or is_inside:
            found.append(int(folder.name))
    return [process for process in found if process != os.getpid()]


def gone(mark, spaces):
    """Whether nothing is left, once it has had time to end."""
    end = time.monotonic() + DEADLINE
    while left_behind(mark, spaces) and time.monotonic() < end:
        time.sleep(0.02)
    return not left_behind(mark, spaces)


def spaces_of(network):
    """The network namespaces of the hosts."""
    return {str(Path(file).readlink()) for _, _, file in network._entrances}


def sleeping(network, host):
    """Start a process with a child of its own, which are both in for long."""
    process = network.run(
        host,
        ["/bin/sh", "-c", "sleep 1000 & echo begun; wait"],
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"begun\n"
    process.stdout.close()
    return process


def test_a_process_runs_in_its_host_with_its_environment_and_exit_code():
    with emulated() as network:
        program = "import os, sys; print(os.environ['WORD']); sys.exit(7)"
        process = network.run(
            2,
            [sys.executable, "-c", program],
            {"WORD": "inside"},
            stdout=subprocess.PIPE,
        )
        assert process.communicate()[0] == b"inside\n"
        assert process.returncode == 7


def test_every_host_has_its_address_on_its_interface():
    with emulated("wheel", hosts=5) as network:
        for host in network.hosts:
            show = ["ip", "address", "show", "dev", network.interface(host)]
            process = network.run(host, show, stdout=subprocess.PIPE, text=True)
            assert f"inet {network.address(host)}/32" in process.communicate()[0]


# Acknowledgements and headers come on top of the payload: 52 of 9000 bytes, and one
# acknowledgement of 66 bytes for every packet at most. Connecting takes some more.
@pytest.mark.parametrize(
    ("family", "parameters", "pair"),
    [
        ("ring", {"hosts": 6}, (0, 2)),
        ("wheel", {"hosts": 7}, (1, 4)),
        ("random", {"hosts": 6, "probability": 0.4, "seed": 1}, (0, 5)),
        ("star", {"hosts": 4}, (3, 1)),
    ],
)
def test_exactly_the_predicted_links_carry_the_bytes(family, parameters, pair):
    size = 400_000
    with emulated(family, **parameters) as network:
        before = network.carried()
        assert not before.any()
        exchange(network, [Flow(*pair, size)])
        carried = network.carried()
        there, back = (
            network.wiring.routes([ends]).of(0)[0] for ends in (pair, pair[::-1])
        )
        assert {*there, *back} == set(carried.nonzero()[0].tolist())
        assert all(size <= carried[link] <= 1.02 * size + 2000 for link in there)
        assert all(carried[link] <= 0.02 * size + 2000 for link in back)


def test_an_unplugged_cable_is_named_and_can_be_plugged_in_again():
    with emulated("ring", hosts=4) as network:
        link = int(network.wiring.routes([(0, 1)]).of(0)[0][0])
        network.set_link(link, up=False)
        assert sorted((link, link ^ 1)) == list(network.links_down())
        with pytest.raises(
            EmulationError, match=r"host \d.*unplugged: host 0 → host 1"
        ):
            exchange(network, [Flow(0, 1, 1000)], limit=2)
        network.set_link(link ^ 1, up=True)
        assert network.links_down() == ()
        assert len(exchange(network, [Flow(0, 1, 1000), Flow(1, 0, 1000)])) == 2


def test_a_cable_unplugged_under_way_breaks_the_flow_and_is_named():
    wiring = Wiring(network=build("ring", hosts=6, **LINK), spread="one")
    _, far = sorted(
        wiring.routes([(0, 2)]).of(0)[0].tolist(),
        key=lambda link: wiring.network.target[link] == 2,
    )
    # Two retries end after 0.2 + 0.4 + 0.8 s; the flow would take 8 s.
    with EmulatedNetwork(wiring, Shape(num_retries=2)) as network:
        unplug = threading.Timer(0.5, network.set_link, (far,), {"up": False})
        unplug.start()
        with pytest.raises(EmulationError, match=r"host 0 .*: host 1 → host 2"):
            exchange(network, [Flow(0, 2, 100_000_000)])
        unplug.join()


def test_unplugging_leaves_other_cables_alone():
    with emulated("ring", hosts=4) as network:
        link = int(network.wiring.routes([(0, 1)]).of(0)[0][0])
        network.set_link(link, up=False)
        assert len(exchange(network, [Flow(1, 2, 1000), Flow(3, 2, 1000)])) == 2


ENTERING = """
import subprocess, sys
from calibration.emulation.entering import Entrance, enter

enter(Entrance(*sys.argv[1:4]))
show = ["ip", "-brief", "address", "show", "dev", sys.argv[4]]
print(subprocess.run(show, capture_output=True, text=True).stdout, flush=True)
if sys.argv[5] == "wait":
    sys.stdin.read()
sys.exit(5)
"""


def entering(network, host, then):
    """Start a process outside that enters a host by itself."""
    words = [*network.entrance(host), network.interface(host), then]
    return subprocess.Popen(
        [sys.executable, "-c", ENTERING, *words], stdin=-1, stdout=-1, text=True
    )


def test_a_process_from_outside_enters_a_host():
    with emulated() as network:
        process = entering(network, 3, "end")
        assert f"{network.address(3)}/32" in process.communicate()[0]
        assert process.returncode == 5


def test_a_process_that_entered_ends_with_the_network(mark):
    with emulated() as network:
        spaces = spaces_of(network)
        process = entering(network, 3, "wait")
        assert network.address(3) in process.stdout.readline()
    with process.stdin, process.stdout:
        assert process.wait(DEADLINE) == -signal.SIGKILL
    assert gone(mark, spaces)


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM])
def test_a_signal_ends_the_process_inside_and_shows(blow):
    with emulated() as network:
        process = network.run(
            1, ["/bin/sh", "-c", "echo $$; exec sleep 999"], stdout=subprocess.PIPE
        )
        with process.stdout:
            assert process.stdout.readline()
            process.send_signal(blow)
            # The pipe ends when nobody inside holds it any more.
            assert process.stdout.read() == b""
        assert process.wait(DEADLINE) == -blow


def test_a_process_inside_stops_and_goes_on():
    with emulated() as network:
        process = network.run(
            1, ["/bin/sh", "-c", "echo 1; read word; echo 2"], stdin=-1, stdout=-1
        )
        assert process.stdout.readline() == b"1\n"
        process.send_signal(signal.SIGSTOP)
        process.stdin.write(b"word\n")
        process.stdin.flush()
        process.send_signal(signal.SIGCONT)
        assert process.communicate()[0] == b"2\n"
        assert process.returncode == 0


def test_nothing_is_left_when_the_block_is_left(mark):
    with emulated() as network:
        spaces = spaces_of(network)
        processes = [sleeping(network, host) for host in network.hosts]
        assert left_behind(mark, spaces)
    assert left_behind(mark, spaces) == []
    assert all(process.returncode is not None for process in processes)


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_after_an_exception(mark, kind):
    spaces = set()
    with pytest.raises(kind):
        interrupted(kind, spaces)
    assert spaces
    assert left_behind(mark, spaces) == []


def interrupted(kind, spaces):
    """Leave a block by an exception, with processes under way."""
    with emulated() as network:
        spaces |= spaces_of(network)
        sleeping(network, 0)
        raise kind


def test_nothing_is_left_if_building_fails(mark, monkeypatch):
    network = emulated()
    network._chambers[2].tc.append("qdisc add dev nowhere root pfifo")
    with pytest.raises(EmulationError, match=r"host 2: tc: .*nowhere"), network:
        pass
    assert left_behind(mark, ()) == []


def test_a_dead_supervisor_takes_everything_along_and_is_named(mark):
    with emulated() as network:
        spaces = spaces_of(network)
        process = sleeping(network, 3)
        network._supervisor.kill()
        assert gone_but(mark, spaces, {process.pid, network._supervisor.pid})
        with pytest.raises(EmulationError, match="gone"):
            network.carried()
    assert left_behind(mark, spaces) == []


def gone_but(mark, spaces, own):
    """The same, but for our own children, which are dead until we look."""
    end = time.monotonic() + DEADLINE
    while set(left_behind(mark, spaces)) - own and time.monotonic() < end:
        time.sleep(0.02)
    return not set(left_behind(mark, spaces)) - own


PARENT = """
import os, signal, subprocess, sys, time
from calibration.emulation.network import EmulatedNetwork
from topologies.graphs import build
from topologies.graphs.wiring import Wiring

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs
graph = build("ring", hosts=4, bandwidth=12.5e6, latency=0.0)
with EmulatedNetwork(Wiring(network=graph)) as network:
    for host in network.hosts:
        inside = network.run(
            host,
            ["/bin/sh", "-c", "sleep 1000 & echo begun; wait"],
            stdout=subprocess.PIPE,
        )
        inside.stdout.readline()
    # A child that holds copies of all pipes to the network, and outlives us.
    holder = os.fork()
    if not holder:
        time.sleep(100)
        os._exit(0)
    spaces = " ".join(os.readlink(each.network) for each in network._entrances)
    print(holder, spaces, flush=True)
    time.sleep(1000)
"""


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_if_the_parent_is_killed(mark, blow):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with parent.stdout:
        holder, spaces = parent.stdout.readline().split(maxsplit=1)
    spaces = set(spaces.split())
    try:
        assert len(spaces) == 4
        assert len(left_behind(mark, spaces)) > 8
        parent.send_signal(blow)
        parent.wait(DEADLINE)
        # The holder has the mark too, but it is not of the network.
        assert gone_but(mark, spaces, {int(holder)})
    finally:
        os.kill(int(holder), signal.SIGKILL)
        parent.kill()
        parent.wait()
    assert gone(mark, spaces)


def test_a_host_that_is_not_there_is_refused():
    with emulated() as network, pytest.raises(EmulationError, match=r"0 … 3"):
        network.run(4, ["true"])


def test_a_closed_network_says_so():
    network = emulated()
    with pytest.raises(EmulationError, match="closed"):
        network.carried()
