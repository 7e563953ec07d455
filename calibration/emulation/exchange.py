"""Flows between the hosts of an emulated network, and when each of them arrived."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from calibration.emulation.errors import EmulationError
from calibration.emulation.network import EmulatedNetwork
from topologies.units import Seconds

_AGENT = Path(__file__).with_name("agent.py")
_PORT = 29_500
_READY: Seconds = 0.05  # from the last answer to the start, for all to get there


class Flow(NamedTuple):
    """Bytes from one host to another.

    Fields:
        sender, receiver: hosts.
        size: bytes of payload [B].
        start: after the exchange began [s].
    """

    sender: int
    receiver: int
    size: int
    start: Seconds = 0.0


def exchange(
    network: EmulatedNetwork, flows: Sequence[Flow], *, limit: Seconds = 60.0
) -> list[Seconds]:
    """Return how long each flow took, from its start until its last byte came [s].

    Connections are made before the exchange begins, and are not part of it.

    Args:
        network: that is built.
        flows: each between two different hosts.
        limit: for the whole exchange, at least 1 [s].

    Raises:
        EmulationError: a flow did not arrive; it names its hosts.
    """
    hosts = sorted({host for flow in flows for host in flow[:2]})
    agents = {host: _start(network, host) for host in hosts}
    try:
        for host, agent in agents.items():
            _tell(agent, json.dumps(_task(network, flows, host, limit)))
        _heard(network, agents)
        for agent in agents.values():
            _tell(agent, "connect")
        _heard(network, agents)
        begin = time.monotonic() + _READY
        for agent in agents.values():
            _tell(agent, repr(begin))
        ends = {
            int(k): end for each in _heard(network, agents) for k, end in each.items()
        }
    finally:
        for agent in agents.values():
            agent.kill()
            agent.communicate()
    lost = [flow for number, flow in enumerate(flows) if number not in ends]
    if lost:
        raise EmulationError(
            f"{len(lost)} of {len(flows)} flows did not arrive, the first from host "
            f"{lost[0].sender} to host {lost[0].receiver}{_unplugged(network)}"
        )
    return [ends[number] - flow.start for number, flow in enumerate(flows)]


def _start(network: EmulatedNetwork, host: int) -> subprocess.Popen[str]:
    argv = [sys.executable, "-I", "-S", str(_AGENT)]
    pipe = subprocess.PIPE
    return network.run(host, argv, text=True, stdin=pipe, stdout=pipe)


def _task(
    network: EmulatedNetwork, flows: Sequence[Flow], host: int, limit: Seconds
) -> dict[str, Any]:
    """Return what an agent is told of the exchange."""
    return {
        "address": network.address(host),
        "port": _PORT,
        "limit": limit,
        "send": [
            (number, network.address(flow.receiver), flow.size, flow.start)
            for number, flow in enumerate(flows)
            if flow.sender == host
        ],
        "receive": [
            (number, flow.size)
            for number, flow in enumerate(flows)
            if flow.receiver == host
        ],
    }


def _tell(agent: subprocess.Popen[str], line: str) -> None:
    file = _opened(agent.stdin)
    with suppress(BrokenPipeError):  # its end says more
        file.write(line + "\n")
        file.flush()


def _heard(
    network: EmulatedNetwork, agents: dict[int, subprocess.Popen[str]]
) -> list[Any]:
    """Return one answer of every agent, whichever comes first.

    Raises:
        EmulationError: one says that a flow broke, or ends without an answer.
    """
    answers = []
    with selectors.DefaultSelector() as waiting:
        for host, agent in agents.items():
            waiting.register(_opened(agent.stdout), selectors.EVENT_READ, host)
        while waiting.get_map():
            for key, _ in waiting.select():
                waiting.unregister(key.fileobj)
                line = _opened(agents[key.data].stdout).readline()
                answer = json.loads(line or '{"error": "it ran out of time"}')
                if isinstance(answer, dict) and "error" in answer:
                    raise EmulationError(
                        f"the traffic of host {key.data} stopped: {answer['error']}"
                        f"{_unplugged(network)}"
                    )
                answers.append(answer)
    return answers


def _opened(file: IO[str] | None) -> IO[str]:
    assert file is not None, "asked for a pipe"
    return file


def _unplugged(network: EmulatedNetwork) -> str:
    """Return the links that are down, to end a message; empty if there is none."""
    names = [network.wiring.link_name(link) for link in network.links_down()]
    return f"; unplugged: {', '.join(names)}" if names else ""
