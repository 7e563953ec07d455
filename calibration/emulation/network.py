"""A network that exists: namespaces, shaped cables and routes, for as long as a block.

    with EmulatedNetwork(wiring) as network:
        process = network.run(2, ["python", "train.py"])

Limits: latency of links is emulated only where the kernel has netem (`has_delay`);
elsewhere a link has the latency of the machine, some ten microseconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, Self

import numpy as np

from calibration.emulation.blueprint import (
    HOME,
    address_of,
    cable_name,
    chambers,
)
from calibration.emulation.entering import Entrance
from calibration.emulation.errors import EmulationError
from calibration.emulation.inside import Inside
from calibration.emulation.machine import NAMESPACES, command, require
from calibration.emulation.shape import Shape
from topologies.graphs.arrays import Integers
from topologies.graphs.wiring import Wiring
from topologies.units import Seconds

_ROOT = Path(__file__).parents[2]
_CLOSED = "the emulated network is closed; use it in its block"
_LEAVE: Seconds = 10.0  # for processes to end, before an error says they did not


class EmulatedNetwork:
    """A network of namespaces; a context manager, and gone when it is left.

    All processes in it end when it is left, and also if this process is killed.

    Fields:
        wiring: what was built: the one given, with one path for each pair.
        shape: of its cables.
        has_delay: whether links have their latency.
    """

    def __init__(self, wiring: Wiring, shape: Shape | None = None) -> None:
        """Check that such a network can be built here; nothing is started yet.

        Raises:
            EmulationUnavailable: this machine cannot do it.
            EmulationError: the routes cannot be those of one table for each node.
        """
        self.wiring = replace(wiring, spread="one")
        self.shape = shape or Shape()
        self.has_delay = require(self.shape.queueing).has_delay
        self._chambers = chambers(self.wiring, self.shape, with_delay=self.has_delay)
        self._supervisor: subprocess.Popen[str] | None = None
        self._asking = Lock()  # one question and its answer at a time
        self._processes: list[Inside] = []
        self._entrances: list[Entrance] = []  # of all nodes

    def __enter__(self) -> Self:
        """Build the network.

        Raises:
            EmulationError: some part of it could not be set up.
        """
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """End all processes in it, and the network."""
        self.close()

    @property
    def hosts(self) -> range:
        """Numbers of the hosts."""
        return range(self.wiring.network.num_hosts)

    def address(self, host: int) -> str:
        """Return the IPv4 address of a host."""
        return address_of(self._host(host))

    def interface(self, host: int) -> str:
        """Return the name of the interface that has a host's address."""
        self._host(host)
        return HOME

    def run(
        self,
        host: int,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Inside:
        """Start a process inside a host; it sees the files of this machine.

        Args:
            host: where.
            argv: the command and its arguments.
            env: environment; that of this process if left out.
            options: of `subprocess.Popen`.
        """
        users, processes, network = self.entrance(host)
        spaces = [f"--user={users}", f"--pid={processes}", f"--net={network}"]
        words = [command("nsenter"), "--preserve-credentials", *spaces, "--"]
        words += [command("setpriv"), "--pdeathsig", "KILL", "--", *argv]
        process = Inside(words, env=env, **options)
        self._processes.append(process)
        return process

    def entrance(self, host: int) -> Entrance:
        """Return where a process that runs already can `enter` a host."""
        self._host(host)
        if not self._entrances:
            raise EmulationError(_CLOSED)
        return self._entrances[host]

    def set_link(self, link: int, *, up: bool) -> None:
        """Plug the cable of a link in, or unplug it: it is gone in both directions.

        Routes do not change. TCP over an unplugged cable waits for it to come back,
        and gives up after `shape.num_retries`.

        Args:
            link: either direction of the cable.
            up: whether it is plugged in.
        """
        first = link - link % 2  # the same end, whichever direction is named
        node, name = int(self.wiring.network.source[first]), cable_name(first)
        is_down = [f"link set {name} down"]
        lines = self._chambers[node].cables[name] if up else is_down
        self._ask(do="configure", node=node, lines=lines)

    def links_down(self) -> tuple[int, ...]:
        """Return the links that carry nothing now, both directions of a cable."""
        flags = self._ask(do="flags")
        source = self.wiring.network.source
        return tuple(
            link
            for link, node in enumerate(source.tolist())
            if "LOWER_UP" not in flags[node][cable_name(link)]
        )

    def carried(self) -> Integers:
        """Return the bytes that each link has carried, headers included [B]."""
        sent = self._ask(do="counters")
        source = self.wiring.network.source.tolist()
        return np.array(
            [sent[node][cable_name(link)] for link, node in enumerate(source)], np.int64
        )

    def close(self) -> None:
        """End all processes in the network, and the network; harmless if repeated."""
        self._entrances = []
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is not None:
            # An empty line says so even if a forked child holds the pipe open.
            with suppress(BrokenPipeError), _opened(supervisor.stdin) as requests:
                requests.write("\n")
            _opened(supervisor.stdout).close()
            _end(supervisor)
        for process in self._processes:
            _end(process)
        self._processes.clear()

    def _start(self) -> None:
        """Start the process that holds the namespaces, and have it build them."""
        parent = os.pidfd_open(os.getpid())
        try:
            self._supervisor = subprocess.Popen(  # noqa: S603 - our own words
                [*_supervising(), str(parent)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                pass_fds=[parent],
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
                start_new_session=True,  # control-C is for us: it ends with us
            )
        finally:
            os.close(parent)
        built = self._ask(do="build", chambers=self._chambers)
        place = f"/proc/{built['process']}"
        self._entrances = [
            Entrance(f"{place}/ns/user", f"{place}/ns/pid", f"{place}/fd/{file}")
            for file in built["files"]
        ]

    def _ask(self, **request: Any) -> Any:
        """Return the answer of the supervisor.

        Raises:
            EmulationError: it cannot do that, or is gone.
        """
        if self._supervisor is None:
            raise EmulationError(_CLOSED)
        line = ""
        with self._asking, suppress(BrokenPipeError):
            file = _opened(self._supervisor.stdin)
            file.write(json.dumps(request) + "\n")
            file.flush()
            line = _opened(self._supervisor.stdout).readline()
        if not line:
            raise EmulationError("the process that holds the emulated network is gone")
        answer = json.loads(line)
        if "error" in answer:
            raise EmulationError(f"the emulated network: {answer['error']}")
        return answer["result"]

    def _host(self, host: int) -> int:
        if host not in self.hosts:
            last = self.hosts[-1]
            raise EmulationError(f"there is no host {host}; they are 0 … {last}")
        return host


def _supervising() -> list[str]:
    """Return the command that holds namespaces, up to its parent's process file."""
    python = [sys.executable, "-m", "calibration.emulation.supervisor"]
    return [command("unshare"), *NAMESPACES, *python, command("ip"), command("tc")]


def _opened(file: Any) -> Any:
    assert file is not None, "asked for a pipe"
    return file


def _end(process: subprocess.Popen[Any]) -> None:
    """Wait for a process that was told to end; kill one that does not."""
    try:
        process.wait(_LEAVE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
