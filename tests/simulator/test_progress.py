"""The line on stderr: only on a terminal, only after a while, and gone at the end."""

import io
import time

import pytest

from simulator.progress import Heartbeat, Progress


class Screen(io.StringIO):
    """A terminal of one line, which carriage returns rewrite."""

    def isatty(self) -> bool:
        return True

    @property
    def line(self) -> str:
        shown = ""
        for text in self.getvalue().split("\r"):
            shown = text + shown[len(text) :]
        return shown.rstrip()


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def screen():
    return Screen()


def test_nothing_is_shown_before_two_seconds(clock, screen):
    with Progress("scaling", 10, stream=screen, clock=clock) as progress:
        clock.now += 1.9
        progress.show(5)
    assert screen.getvalue() == ""


def test_nothing_is_ever_shown_where_there_is_no_terminal(clock):
    stream = io.StringIO()
    with Progress("scaling", 10, stream=stream, clock=clock) as progress:
        clock.now += 60.0
        progress.show(5)
    assert stream.getvalue() == ""


def test_the_line_says_what_is_done_and_how_long_the_rest_takes(clock, screen):
    with Progress("scaling", 10, stream=screen, clock=clock) as progress:
        clock.now += 4.0  # 4 s for 2 of 10: the other 8 take 16 s
        progress.show(2, "nodes = 8")
        assert screen.line == "scaling: 2 of 10, about 16 s left: nodes = 8"


def test_a_shorter_line_leaves_nothing_of_the_longer_one(clock, screen):
    with Progress("scaling", 10, stream=screen, clock=clock) as progress:
        clock.now += 4.0
        progress.show(0, "a long description of a point")
        clock.now += 4.0
        progress.show(0)
        assert screen.line == "scaling: 0 of 10"
        clock.now += 4.0
        progress.show(0, "in between")
        assert screen.line == "scaling: 0 of 10: in between"


def test_the_line_is_not_rewritten_faster_than_anyone_reads(clock, screen):
    with Progress("scaling", 10, stream=screen, clock=clock) as progress:
        clock.now += 4.0
        progress.show(1)
        written = screen.getvalue()
        clock.now += 0.05
        progress.show(2)
        assert screen.getvalue() == written


def test_the_line_is_wiped_at_the_end_even_after_an_error(clock, screen):
    def work() -> None:
        with Progress("scaling", 10, stream=screen, clock=clock) as progress:
            clock.now += 4.0
            progress.show(1, "nodes = 8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert screen.line == ""
    assert screen.getvalue().endswith("\r")


def test_a_line_never_wraps(clock, screen, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    with Progress("scaling", 10, stream=screen, clock=clock) as progress:
        clock.now += 4.0
        progress.show(1, "x" * 200)
        assert len(screen.line) == 19


def test_a_heartbeat_beats_on_a_terminal_and_wipes_its_line(monkeypatch):
    monkeypatch.setattr("simulator.progress._PATIENCE", 0.01)
    monkeypatch.setattr("simulator.progress._BEAT", 0.01)
    terminal = Screen()
    with Heartbeat("predicting", stream=terminal):
        while "predicting: " not in terminal.getvalue():
            time.sleep(0.001)
    assert terminal.getvalue().endswith("\r")
    assert terminal.getvalue().rstrip("\r").endswith(" ")


def test_a_heartbeat_is_silent_when_nobody_watches():
    log = io.StringIO()
    with Heartbeat("predicting", stream=log):
        pass
    assert log.getvalue() == ""
