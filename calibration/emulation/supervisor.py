"""The process that holds an emulated network: first in its own process namespace.

It is started inside new user, network and process namespaces, makes one network
namespace for every node, and answers requests, one line of JSON each, until an empty
line, the end of the file, or the end of the process that asked for it. When it ends,
the kernel ends every process in its process namespace, and with them all networks
vanish: there is nothing to clean up, so nothing can be left.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from calibration.emulation.entering import NETWORK

_LIBC = ctypes.CDLL(None, use_errno=True)


def enter_network(file: int) -> None:
    """Move this thread to the network namespace of an open file."""
    if _LIBC.setns(file, NETWORK):
        raise OSError(ctypes.get_errno(), "setns")


class Supervisor:
    """All namespaces of one emulated network, as open files."""

    def __init__(self, ip: str, tc: str) -> None:
        """Begin with no namespace.

        Args:
            ip, tc: full paths of the commands.
        """
        # The number that processes outside see; in here it is 1.
        self.process = int(Path("/proc/self").readlink().name)
        self._ip, self._tc = ip, tc
        self._files: list[int] = []
        self._labels: list[str] = []

    def build(self, chambers: list[list[Any]]) -> dict[str, Any]:
        """Make the namespaces of `blueprint.chambers`; say where they are."""
        for label, settings, *_ in chambers:
            self._labels.append(label)
            self._files.append(_new_network())
            for name, value in settings.items():
                _set(name, value)
        for node, chamber in enumerate(chambers):
            lines = [self._veth(name, peer) for name, peer in chamber[2]]
            self._batch(self._ip, node, lines)
        for node, chamber in enumerate(chambers):
            self._batch(self._ip, node, chamber[3])
        for node, chamber in enumerate(chambers):
            self._batch(self._tc, node, chamber[4])
        return {"process": self.process, "files": self._files}

    def configure(self, node: int, lines: list[str]) -> None:
        """Run lines of `ip -batch` in the namespace of a node."""
        self._batch(self._ip, node, lines)

    def counters(self) -> list[dict[str, int]]:
        """Return, for every node, the bytes sent by each of its interfaces."""
        return [self._sent(file) for file in self._files]

    def flags(self) -> list[dict[str, list[str]]]:
        """Return, for every node, the flags of each of its interfaces."""
        found = []
        for file in self._files:
            enter_network(file)
            text = _run([self._ip, "-json", "link", "show"], "")
            found.append({each["ifname"]: each["flags"] for each in json.loads(text)})
        return found

    def _sent(self, file: int) -> dict[str, int]:
        enter_network(file)
        lines = Path("/proc/thread-self/net/dev").read_text(encoding="ascii")
        rows = [line.split(":") for line in lines.splitlines()[2:]]
        return {name.strip(): int(numbers.split()[8]) for name, numbers in rows}

    def _veth(self, name: str, peer: int) -> str:
        place = f"/proc/{self.process}/fd/{self._files[peer]}"
        return f"link add {name} type veth peer name {name} netns {place}"

    def _batch(self, command: str, node: int, lines: list[str]) -> None:
        if lines:
            enter_network(self._files[node])
            try:
                _run([command, "-batch", "-"], "\n".join(lines) + "\n")
            except RuntimeError as error:
                message = f"{self._labels[node]}: {error}"
                raise RuntimeError(message) from None


def _new_network() -> int:
    """Move to a new network namespace and return a file that keeps it."""
    if _LIBC.unshare(NETWORK):
        raise OSError(ctypes.get_errno(), "unshare")
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def _set(name: str, value: str) -> None:
    """Set a kernel setting of this namespace; one of IPv6 may be missing."""
    path = Path("/proc/sys", name)
    if "ipv6" in name and not path.exists():
        return
    try:
        path.write_text(value, encoding="ascii")
    except OSError as error:
        raise RuntimeError(f"{name} = {value}: {error.strerror}") from None


def _run(words: list[str], text: str) -> str:
    """Run a command with lines for it; one that fails is an error with its words."""
    done = subprocess.run(  # noqa: S603 - our own words, by full path
        words, input=text, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{Path(words[0]).name}: {' '.join(done.stderr.split())}")
    return done.stdout


def serve(supervisor: Supervisor, parent: int) -> None:
    """Answer requests until an empty one, or until they or the parent end.

    Args:
        supervisor: that has the methods asked for.
        parent: a process file of the process that asks.
    """
    requests = sys.stdin.fileno()
    waiting = b""
    while True:
        ready, _, _ = select.select([requests, parent], [], [], 1.0)
        _reap()
        if parent in ready:
            return
        if requests in ready:
            more = os.read(requests, 65_536)
            if not more:
                return
            *lines, waiting = (waiting + more).split(b"\n")
            for line in lines:
                if not line:
                    return
                _answer(supervisor, line)


def _answer(supervisor: Supervisor, line: bytes) -> None:
    """Do what a line asks and write the result, or the error, as a line."""
    request = json.loads(line)
    method: Callable[..., Any] = getattr(supervisor, request.pop("do"))
    try:
        answer = {"result": method(**request)}
    except (RuntimeError, OSError) as error:
        answer = {"error": str(error)}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _reap() -> None:
    """Take leave of processes whose parents are gone: they are ours now."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    serve(Supervisor(sys.argv[1], sys.argv[2]), int(sys.argv[3]))
