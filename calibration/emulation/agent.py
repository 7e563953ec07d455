"""The traffic of one host: sends and receives a fixed number of bytes a flow, by TCP.

Run inside a host as a program by itself. It reads one line of JSON, then a line for
every step, and answers each with one: `ready` when it listens, `joined` when all its
flows have connections, and after the start the time at which each flow that ends here
had arrived, or the error of a flow that broke. All hosts of an emulated network have
one clock, so times compare.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVar

NUMBER = 8  # bytes that name a flow when it connects
CHUNK = 65_536  # bytes in one call


Answer = TypeVar("Answer")


def work(call: Callable[..., Answer], *arguments: object) -> Answer:
    """Return what a call on a socket returns; end everything here if it fails."""
    try:
        return call(*arguments)
    except OSError as error:
        say({"error": error.strerror})
        os._exit(1)


def send(link: socket.socket, size: int, start: float) -> None:
    """Send some bytes from a moment on."""
    time.sleep(max(start - time.monotonic(), 0.0))
    data = bytes(CHUNK)
    left = size
    while left > 0:
        left -= work(link.send, data[:left])


def receive(link: socket.socket, flow: int, size: int, ends: dict[int, float]) -> None:
    """Receive some bytes and note when the last one came."""
    left, room = size, bytearray(CHUNK)
    while left > 0:
        count = work(link.recv_into, room, min(left, CHUNK))
        if not count:
            return
        left -= count
    ends[flow] = time.monotonic()


def accept(server: socket.socket, number: int) -> dict[int, socket.socket]:
    """Return the connections of the flows that end here, by flow."""
    found = {}
    for _ in range(number):
        link, _ = server.accept()
        found[int.from_bytes(link.recv(NUMBER, socket.MSG_WAITALL))] = link
    return found


def connect(address: str, port: int, flow: int) -> socket.socket:
    """Return a connection for a flow that starts here."""
    link = work(socket.create_connection, (address, port))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.sendall(flow.to_bytes(NUMBER))
    return link


def say(answer: object) -> None:
    """Answer a step."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Take part in one exchange."""
    task = json.loads(sys.stdin.readline())
    signal.alarm(int(task["limit"]))
    number = len(task["receive"])
    server = socket.create_server((task["address"], task["port"]), backlog=number + 1)
    say("ready")
    sys.stdin.readline()
    joining: dict[int, socket.socket] = {}
    waiting = threading.Thread(target=lambda: joining.update(accept(server, number)))
    waiting.start()
    leaving = [connect(to, task["port"], flow) for flow, to, _, _ in task["send"]]
    waiting.join()
    say("joined")
    begin = float(sys.stdin.readline())
    ends: dict[int, float] = {}
    threads = [
        threading.Thread(target=receive, args=(joining[flow], flow, size, ends))
        for flow, size in task["receive"]
    ]
    threads += [
        threading.Thread(target=send, args=(link, size, begin + start))
        for link, (_, _, size, start) in zip(leaving, task["send"], strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    say({flow: end - begin for flow, end in ends.items()})


if __name__ == "__main__":
    main()
