"""The nursery as its parent sees it: started once, asked for ranks, told of their ends.

Limits: Linux; ends are told by process files (pidfd).
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from calibration.torch_engine.errors import RunError, require_torch
from calibration.torch_engine.seats import Seat
from topologies.units import Seconds

_ROOT = Path(__file__).parents[2]
_MODULE = "calibration.torch_engine.nursery"
_ENDED = "the process that forks them has ended"
_PATIENCE: Seconds = 60.0  # for torch to be loaded, and for any answer after that


class Forking:
    """Starts ranks through a nursery of its own."""

    def __init__(self) -> None:
        self._asking = Lock()  # one question and its answer at a time
        self._codes: dict[int, int] = {}  # exit codes of processes that ended
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(_PATIENCE)
        self._errors = os.memfd_create("nursery")
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        variables = {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own words
                [sys.executable, "-m", _MODULE, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **variables},
                start_new_session=True,  # control-C is for us: it ends with us
            )

    def start(
        self, rank: int, size: int, seat: Seat, connection: int, errors: int
    ) -> int:
        """Start a rank and return its process number.

        Args:
            rank, size: its number, of how many.
            seat: where.
            connection: file of its end of a connection, for tasks and answers.
            errors: file that takes what it prints.
        """
        request = {
            "rank": rank,
            "size": size,
            "entrance": seat.entrance,
            "environment": seat.variables(),
            "path": sys.path,
        }
        with self._asking:
            message = json.dumps(request).encode()
            try:
                socket.send_fds(self._socket, [message], [connection, errors])
            except BrokenPipeError:
                raise self._gone(_ENDED) from None
            while "started" not in (answer := self._heard()):
                self._codes[answer["ended"]] = answer["code"]
            process = answer["started"]
            self._codes.pop(process, None)  # of an earlier one with the same number
            return process

    def code(self, process: int) -> int:
        """Return the exit code of a process that has ended; negative for a signal."""
        with self._asking:
            while process not in self._codes:
                answer = self._heard()
                self._codes[answer["ended"]] = answer["code"]
            return self._codes[process]

    def close(self) -> None:
        """End the nursery, and with it all its ranks."""
        self._socket.close()
        self._process.wait()
        os.close(self._errors)

    def _heard(self) -> dict[str, int]:
        why = _ENDED
        try:
            data = self._socket.recv(4096)
        except TimeoutError:
            data = b""
            why = f"no answer in {_PATIENCE:.0f} s; is the machine busy?"
        except ConnectionError:
            data = b""
        if not data:
            raise self._gone(why)
        answer: dict[str, int] = json.loads(data)
        return answer

    def _gone(self, why: str) -> RunError:
        """Return what happened: what the process said last, or else `why`."""
        said = last_words(self._errors)
        return RunError(f"ranks cannot be started: {said or why}")


@cache
def forking() -> Forking:
    """Return the nursery of this process, started at the first call."""
    require_torch()
    started = Forking()
    atexit.register(started.close)
    return started


def last_words(file: int) -> str:
    """Return the last line that a process printed to a file."""
    end = os.lseek(file, 0, os.SEEK_END)
    most = 2000
    text = os.pread(file, most, max(0, end - most)).decode(errors="replace")
    lines: list[Any] = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
