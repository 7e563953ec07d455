"""How a process that runs already gets into a host: for ranks that a server forks.

`EmulatedNetwork.run` starts a command, which has to load all it needs. A process that
was forked with everything loaded enters by itself, as long as it has one thread.
"""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path
from typing import NamedTuple

# Numbers of linux/sched.h and linux/prctl.h.
_USERS = 0x10000000  # CLONE_NEWUSER
_PROCESSES = 2 * _USERS  # CLONE_NEWPID, the next bit
NETWORK = 2 * _PROCESSES  # CLONE_NEWNET, the next again
_DIE_WITH_PARENT = 1


class Entrance(NamedTuple):
    """Files of the namespaces of a host.

    Fields:
        users, processes: of the emulated network.
        network: of the host.
    """

    users: str
    processes: str
    network: str


def enter(entrance: Entrance) -> None:
    """Go on inside a host, in a child of this process, which ends as the child does.

    Raises:
        OSError: the network is gone, or this process has more than one thread.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    kinds = (_USERS, _PROCESSES, NETWORK)
    files = [os.open(path, os.O_RDONLY) for path in entrance]
    for file, kind, path in zip(files, kinds, entrance, strict=True):
        if libc.setns(file, kind):
            error = ctypes.get_errno()
            raise OSError(error, f"{os.strerror(error)}: cannot enter {path}")
        os.close(file)
    parent = os.getpid()
    child = os.fork()
    if child:
        _end_like(child)
    libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if not Path(f"/proc/{parent}").exists():
        os._exit(1)


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before
        os._exit(1)


def _end_like(child: int) -> None:
    """Wait for a child and end as it did."""
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        if -code not in {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)
