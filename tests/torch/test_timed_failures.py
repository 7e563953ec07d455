"""What goes wrong in mid-run is named, with exit code 1, and nothing is left.

The plan sends for half a minute; something happens when its ranks have begun.
"""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("torch.distributed")

from timed_plans import job_of, mapping, marked, needs_emulation, spaces
from worlds import children

from calibration.emulation.shape import Shape
from calibration.torch_engine.errors import RankError
from calibration.torch_engine.seats import seats
from calibration.torch_engine.timed.running import run_timed
from calibration.torch_engine.world import World
from simulator.plans.dumping import toml_value

pytestmark = needs_emulation

LONG = {"rate": "50 Mbit/s", "model": {"family": "mlp", "widths": [4096] * 3}}
BEGUN = 2.0  # seconds after which ranks send, or at least have begun to
PATIENCE = 5.0
DEADLINE = 120.0  # seconds for processes to appear or vanish; on an idle machine one


@pytest.fixture(autouse=True)
def nothing_left():
    """Processes and namespaces before are those after; the nursery may stay."""
    with World(seats(1)):
        pass
    before = children(), spaces()
    yield
    assert _becomes_true(lambda: _is_gone(before))


def _becomes_true(is_so):
    until = time.monotonic() + DEADLINE
    while not is_so():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _is_gone(before):
    # Others may use namespaces on this machine, and leave them meanwhile.
    own = {str(Path(f"/proc/{pid}/ns/net").readlink()) for pid in children()}
    return children() == before[0] and own <= before[1]


def after_a_while(blow):
    """A context in which `blow(network, world)` falls when the ranks have begun."""

    @contextmanager
    def watched(network, world):
        timer = threading.Timer(BEGUN, blow, (network, world))
        timer.start()
        yield
        timer.join()

    return watched


def failing(blow):
    """What a run says of a blow."""
    with pytest.raises(RankError) as caught:
        run_timed(
            job_of(**LONG),
            shape=Shape(num_retries=2),
            patience=PATIENCE,
            watched=after_a_while(blow),
        )
    assert caught.value.exit_code == 1
    return str(caught.value)


def inside(process):
    """The rank itself, which lives inside its host; `process` waits for it."""
    assert _becomes_true(lambda: children(process))
    (rank,) = children(process)
    return rank


def test_a_killed_rank_is_named():
    said = failing(lambda _, world: os.kill(inside(world.processes[1]), signal.SIGKILL))
    assert said == "rank 1 (host 1): was killed by SIGKILL"


def test_a_hung_rank_is_named():
    said = failing(lambda _, world: os.kill(inside(world.processes[2]), signal.SIGSTOP))
    assert said.startswith("rank 2 (host 2): hung")


def test_an_unplugged_cable_is_named():
    def unplug(network, _):
        network.set_link(int(network.wiring.routes([(0, 1)]).of(0)[0][0]), up=False)

    said = failing(unplug)
    assert said.endswith("unplugged: host 0 → host 1, host 1 → host 0")


PARENT = """
import signal, sys
from pathlib import Path
from calibration.torch_engine.timed.running import run_timed
from simulator.job import prepare
from simulator.plan import Plan

def begun(network, world):
    from contextlib import nullcontext
    places = map(network.entrance, network.hosts)
    print(*{Path(each.network).readlink() for each in places}, flush=True)
    return nullcontext()

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs
job = prepare(Plan.load(sys.argv[1]), is_folded=False)
run_timed(job, watched=begun)
"""


def written(folder):
    """The file of a plan that takes long."""
    path = folder / "long.toml"
    lines = []
    for table, content in mapping(**LONG).items():
        plain = {k: v for k, v in content.items() if not isinstance(v, dict)}
        inner = {k: v for k, v in content.items() if isinstance(v, dict)}
        lines += [f"[{table}]", *(f"{k} = {toml_value(v)}" for k, v in plain.items())]
        for name, values in inner.items():
            lines += [f"[{table}.{name}]"]
            lines += [f"{k} = {toml_value(v)}" for k, v in values.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_if_the_parent_is_killed(tmp_path, monkeypatch, blow):
    mark = f"TIMED_TEST={uuid.uuid4().hex}"
    monkeypatch.setenv(*mark.split("="))
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(written(tmp_path))],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        with parent.stdout:
            own = set(parent.stdout.readline().split())
        assert len(own) == 3
        # Ranks are forked when the networks are named; they enter them by themselves.
        assert _becomes_true(lambda: own <= spaces())
        time.sleep(BEGUN)
        parent.send_signal(blow)
        parent.wait(DEADLINE)
    finally:
        parent.kill()  # does nothing if it ended
        parent.wait()
    assert _becomes_true(lambda: not marked(mark) and not own & spaces())


def test_the_program_ends_with_exit_code_1_if_a_rank_is_killed(tmp_path):
    how = ["--network", "emulated", "--compute", "timed"]
    program = subprocess.Popen(
        [sys.executable, "-m", "simulator", "run", str(written(tmp_path)), *how],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert _becomes_true(lambda: len(ranks_of(program.pid)) >= 3)
    time.sleep(BEGUN)
    os.kill(min(ranks_of(program.pid)), signal.SIGKILL)
    _, said = program.communicate(timeout=DEADLINE)
    assert program.returncode == 1
    assert "was killed by SIGKILL" in said
    assert "Traceback" not in said


def ranks_of(process):
    """Processes under a program that are inside a namespace of their own."""
    here = Path("/proc/self/ns/pid").readlink()
    found = set()
    for child in children(process):
        try:
            words = Path(f"/proc/{child}/cmdline").read_bytes()
            is_inside = Path(f"/proc/{child}/ns/pid").readlink() != here
        except OSError:
            continue
        if is_inside and b"nursery" in words:
            found.add(child)
    return found
