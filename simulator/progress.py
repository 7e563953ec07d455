"""How far a long computation is: one line on stderr, rewritten in place.

It appears only on a terminal, only after two seconds, and is wiped at the end, so that
logs, pipes and quick commands never see it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from shutil import get_terminal_size
from typing import Self, TextIO

from topologies.units import Seconds, format_quantity

_PATIENCE: Seconds = 2.0  # what is done sooner needs no line
_REFRESH: Seconds = 0.1
_BEAT: Seconds = 0.5
_FALLBACK = (80, 24)  # columns and lines of a terminal that does not say


class Progress:
    """A line such as `scaling: 12 of 40, about 25.0 s left: cluster.nodes = 8`.

        with Progress("scaling", len(points)) as progress:
            for done, point in enumerate(points):
                progress.show(done, str(point))

    Args:
        what: is going on.
        total: number of things to do [1].
        stream: where the line goes; stderr if left out.
        clock: gives the time [s].
    """

    def __init__(
        self,
        what: str,
        total: int,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], Seconds] = time.monotonic,
    ) -> None:
        self._what, self._total = what, total
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._is_terminal = self._stream.isatty()
        self._began = self._shown_at = clock()
        self._width = 0

    def __enter__(self) -> Self:
        """Start the clock."""
        self._began = self._shown_at = self._clock()
        return self

    def __exit__(self, *error: object) -> None:
        """Wipe the line, however the work ended."""
        if self._width:
            self._write("")
            self._stream.write("\r")
            self._stream.flush()
            self._width = 0

    def show(self, done: int, detail: str = "") -> None:
        """Rewrite the line, if it is time to.

        Args:
            done: things that are finished [1].
            detail: the thing that is next.
        """
        now = self._clock()
        is_early = now - self._began < _PATIENCE or (
            self._width > 0 and now - self._shown_at < _REFRESH
        )
        if not self._is_terminal or is_early:
            return
        line = f"{self._what}: {done} of {self._total}"
        if done:
            left = (now - self._began) / done * (self._total - done)
            line += f", about {format_quantity(left, 's', 2)} left"
        self._write(f"{line}: {detail}" if detail else line)
        self._shown_at = now

    def _write(self, line: str) -> None:
        """Write over the line before, of which nothing may remain."""
        columns = get_terminal_size(_FALLBACK).columns
        line = line[: columns - 1]  # a line that wraps cannot be rewritten
        self._stream.write(f"\r{line.ljust(self._width)}")
        self._stream.flush()
        self._width = len(line) or self._width


class Heartbeat:
    """A line such as `predicting: 5.0 s` while one long computation goes on.

        with Heartbeat("predicting"):
            result = simulate(plan)

    Args:
        what: is going on.
        stream: where the line goes; stderr if left out.
    """

    def __init__(self, what: str, *, stream: TextIO | None = None) -> None:
        self._what = what
        self._stream = sys.stderr if stream is None else stream
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        """Start beating, if anybody watches."""
        if self._stream.isatty():
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop, and wipe the line."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _beat(self) -> None:
        began, width = time.monotonic(), 0
        wait = _PATIENCE
        while not self._over.wait(wait):
            passed = format_quantity(time.monotonic() - began, "s")
            line = f"{self._what}: {passed}"
            width = max(width, len(line))
            self._stream.write(f"\r{line.ljust(width)}")
            self._stream.flush()
            wait = _BEAT
        if width:
            self._stream.write(f"\r{' ' * width}\r")
            self._stream.flush()
