"""A process inside a host, as seen from outside: signals reach it, and its end shows.

What `Popen` starts is `nsenter`, which starts the process in another process namespace
and ends as it ends. Signals go past `nsenter`, so that it is there to take leave of
the process: a namespace of processes cannot vanish before that.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from typing_extensions import override


class Inside(subprocess.Popen[Any]):
    """A `Popen` whose signals go to the process inside."""

    @override
    def send_signal(self, sig: int) -> None:
        """Send a signal to the process inside; nothing if it has ended."""
        if self.poll() is not None:
            return
        inside = self._children()
        # `nsenter` stops with the process inside, and has to be woken too.
        outside = [self.pid] if sig == signal.SIGCONT or not inside else []
        for process in (*outside, *inside):
            with suppress(ProcessLookupError):
                os.kill(process, sig)

    def _children(self) -> list[int]:
        """Return the process inside; none before it is there."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        with suppress(OSError):
            return [int(word) for word in path.read_text(encoding="ascii").split()]
        return []
