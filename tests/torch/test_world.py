"""Worlds of ranks: what comes back, what a failure says, and that nothing is left."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

torch = pytest.importorskip("torch.distributed")

from worlds import (  # noqa: E402
    children,
    hang_one,
    kill_one,
    launch,
    raise_on_one,
    sleep_all,
    stop_one,
    sum_of_ranks,
)

from calibration.torch_engine.errors import RankError  # noqa: E402
from calibration.torch_engine.seats import seats  # noqa: E402
from calibration.torch_engine.world import Limits, World  # noqa: E402

SHORT = Limits(waiting=2.0, silence=4.0)


@pytest.fixture(autouse=True)
def nothing_left():
    """The nursery stays for the next test; its ranks do not."""
    launch(sum_of_ranks, 1)
    before = children()
    yield
    until = time.monotonic() + 5.0
    while children() != before and time.monotonic() < until:
        time.sleep(0.01)
    assert before == children()


def test_every_rank_answers_in_order():
    assert [float(value) for value in launch(sum_of_ranks, 3)] == [3.0] * 3


def test_a_world_does_several_tasks():
    with World(seats(2)) as world:
        first = world.processes
        assert [float(value) for value in world.run(sum_of_ranks)] == [1.0, 1.0]
        assert [float(value) for value in world.run(sum_of_ranks)] == [1.0, 1.0]
        assert first == world.processes


def test_a_rank_that_raises_is_named_with_its_own_message():
    with pytest.raises(RankError) as caught:
        launch(partial(raise_on_one, victim=2), 4)
    said = "rank 2 (localhost): ValueError: the third layer has no weight"
    assert said == str(caught.value)
    assert "raise_on_one" in caught.value.trace


def test_a_rank_that_is_killed_is_named():
    with pytest.raises(RankError) as caught:
        launch(partial(kill_one, victim=1), 3)
    assert str(caught.value) == "rank 1 (localhost): was killed by SIGKILL"


@pytest.mark.parametrize(
    ("task", "place"),
    [(hang_one, " at step 2"), (stop_one, "")],
    ids=["hung", "stopped"],
)
def test_a_rank_that_hangs_is_named_by_those_that_wait(task, place):
    with pytest.raises(RankError) as caught:
        launch(partial(task, victim=2), 3, limits=SHORT)
    said = f"rank 2 (localhost): hung{place}; the others waited 2 s for it"
    assert said == str(caught.value)


def test_ranks_that_all_hang_are_named():
    with pytest.raises(RankError, match=r"rank 0 .*, rank 1 .*: hung; no rank"):
        launch(sleep_all, 2, limits=SHORT)


def test_a_hint_is_added_to_a_failure():
    with pytest.raises(RankError, match="unplugged: link 3"):
        launch(partial(raise_on_one, victim=0), 2, hint=lambda: "unplugged: link 3")


PROGRAM = """
import signal, sys
from worlds import sleep_all
from calibration.torch_engine.seats import seats
from calibration.torch_engine.world import World
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs
with World(seats(2)) as world:
    print(*world.processes, flush=True)
    world.run(sleep_all)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_rank_outlives_a_parent_that_is_killed(number):
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here), str(here.parents[1])])
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    ranks = [int(word) for word in process.stdout.readline().split()]
    all_of_them = children(process.pid)
    assert set(ranks) < all_of_them
    process.send_signal(number)
    process.communicate()
    until = time.monotonic() + 5.0
    while any(is_alive(each) for each in all_of_them) and time.monotonic() < until:
        time.sleep(0.01)
    assert not [each for each in all_of_them if is_alive(each)]


def is_alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] not in {"Z", "X"}
    except FileNotFoundError:
        return False
