"""A line on stderr about work that takes longer than a glance."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

_QUIET_SECONDS = 2.0
_BETWEEN_SECONDS = 0.5  # on a terminal, where the line is overwritten
_BETWEEN_LINES_SECONDS = 10.0  # in a log


class Progress:
    """Counts what is done, and says so if that takes over two seconds."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total = what, total
        self._done = 0
        self._next = time.monotonic() + _QUIET_SECONDS
        self._width = 0

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wipe the line from a terminal."""
        if self._width and sys.stderr.isatty():
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()

    def advance(self) -> None:
        """Count one more."""
        self._done += 1
        now = time.monotonic()
        if now < self._next:
            return
        is_terminal = sys.stderr.isatty()
        line = f"{self._done} of {self._total} {self._what}"
        self._width = max(self._width, len(line))
        sys.stderr.write(f"\r{line}" if is_terminal else f"{line}\n")
        sys.stderr.flush()
        self._next = now + (_BETWEEN_SECONDS if is_terminal else _BETWEEN_LINES_SECONDS)
