"""The process that forks ranks: it has loaded torch once, so that they start at once.

It is asked over a socket, one request a rank, and says which process each is and how
it ended. It ends with the process that asks, and its ranks end with it: each asks the
kernel to be killed when its parent is gone.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import sys
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

from calibration.emulation.entering import Entrance, enter
from calibration.torch_engine.rank import serve

PRELOADED = (
    "calibration.torch_engine.training",
    "calibration.torch_engine.timed.task",
    "torch._dynamo",
)
REQUEST = 65_536  # most bytes of a request
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of linux/prctl.h


class Nursery:
    """Forks ranks on request and says how each ended."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._process = os.getpid()
        self._parent = os.pidfd_open(os.getppid())
        self._ranks: dict[int, int] = {}  # by the file that shows its end

    def run(self) -> None:
        """Answer until the process that asks is gone."""
        while True:
            requests = self._requests.fileno()
            waiting = [requests, self._parent, *self._ranks]
            ready, _, _ = select.select(waiting, [], [])
            if self._parent in ready:
                return
            for file in set(ready) & set(self._ranks):
                self._say_end(file)
            if requests in ready and not self._answer():
                return

    def _answer(self) -> bool:
        """Start the rank of one request; say whether there was one."""
        data, files, _, _ = socket.recv_fds(self._requests, REQUEST, 2)
        if not data:
            return False
        request = json.loads(data)
        process = os.fork()
        if not process:
            self._become(request, *files)
        for file in files:
            os.close(file)
        self._ranks[os.pidfd_open(process)] = process
        self._say({"started": process})
        return True

    def _become(self, request: dict[str, Any], connection: int, errors: int) -> None:
        """Be a rank until its end."""
        try:
            die_with(self._process)
            self._requests.close()
            for file in (self._parent, *self._ranks):
                os.close(file)
            os.dup2(errors, 1)
            os.dup2(errors, 2)
            if request["entrance"]:
                enter(Entrance(*request["entrance"]))
            os.environ.update(request["environment"])
            sys.path[:] = request["path"]
            serve(Connection(connection), request["rank"], request["size"])
        except BaseException as error:  # noqa: BLE001 - it has nobody else to tell
            os.write(errors, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
        os._exit(0)

    def _say_end(self, file: int) -> None:
        process = self._ranks.pop(file)
        os.close(file)
        _, status = os.waitpid(process, 0)
        self._say({"ended": process, "code": os.waitstatus_to_exitcode(status)})

    def _say(self, answer: dict[str, int]) -> None:
        self._requests.send(json.dumps(answer).encode())


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before
        os._exit(1)


def main() -> None:
    """Load what ranks need, then answer."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    for name in PRELOADED:
        import_module(name)
    Nursery(requests).run()


if __name__ == "__main__":
    main()
