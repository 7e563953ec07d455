"""What this machine can do: the commands that are needed, and what its kernel allows.

Nothing is assumed from versions: a namespace is made, a link in it is shaped, and both
vanish with the process that tried.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from typing import NamedTuple

from calibration.emulation.errors import EmulationUnavailable
from calibration.emulation.shape import Queueing

COMMANDS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "ip": "iproute2",
    "tc": "iproute2",
}
_ADMIN_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
NAMESPACES = ("--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child")

# Each line prints its name once it has worked; the first that is missing failed.
_TRIAL = """
echo namespaces
ip link add trial0 type veth peer name trial1 || exit; echo veth
tc qdisc add dev trial0 root handle 1: tbf rate 100mbit burst 4kb limit 100kb || exit
echo tbf
echo 1 > /proc/sys/net/ipv4/ip_forward || exit; echo forwarding
tc qdisc add dev trial1 root handle 1: htb && tc filter add dev trial1 parent 1: \
  protocol ip prio 1 u32 match ip dst 10.0.0.1/32 flowid 1:1 && echo fair
tc qdisc add dev trial0 parent 1: handle 10: netem delay 1ms && echo netem
"""
_LACKS = {
    "namespaces": "its kernel gives no user and network namespaces to this user "
    "(sysctl user.max_user_namespaces, or a container's seccomp profile)",
    "veth": "its kernel has no virtual Ethernet pairs (module veth)",
    "tbf": "its kernel has no token bucket filter (module sch_tbf)",
    "forwarding": "/proc/sys cannot be written in a namespace, so none forwards",
}


class Abilities(NamedTuple):
    """What this machine can do for an emulated network.

    Fields:
        reason: why there can be none; empty if there can.
        has_fair: whether links can serve pairs of hosts in turn, by htb and u32.
        has_delay: whether links can be given a latency, by netem.
    """

    reason: str
    has_fair: bool = False
    has_delay: bool = False


def search_path() -> str:
    """Return `PATH` with the folders of administration, which users may lack."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *_ADMIN_FOLDERS])


def command(name: str) -> str:
    """Return the full path of one of the commands.

    Raises:
        EmulationUnavailable: it is not installed.
    """
    found = shutil.which(name, path=search_path())
    if found is None:
        package = COMMANDS[name]
        raise EmulationUnavailable(f"no command {name!r}; install {package}")
    return found


@cache
def abilities() -> Abilities:
    """Return what this machine can do, by trying it once in each process."""
    try:
        unshare, *_ = [command(name) for name in COMMANDS]
    except EmulationUnavailable as error:
        return Abilities(error.reason)
    tried = subprocess.run(  # noqa: S603 - our own words, by full path
        [unshare, *NAMESPACES, "/bin/sh", "-c", _TRIAL],
        env={**os.environ, "PATH": search_path()},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    passed = tried.stdout.split()
    said = " ".join(tried.stderr.split())
    for step, lack in _LACKS.items():
        if step not in passed:
            return Abilities(f"{lack}: {said}")
    return Abilities("", has_fair="fair" in passed, has_delay="netem" in passed)


def require(queueing: Queueing) -> Abilities:
    """Return what this machine can do.

    Args:
        queueing: that links are to have.

    Raises:
        EmulationUnavailable: it cannot emulate such a network.
    """
    found = abilities()
    if found.reason:
        raise EmulationUnavailable(found.reason)
    if queueing == "fair" and not found.has_fair:
        raise EmulationUnavailable(
            "its kernel cannot shape links fairly (modules sch_htb and cls_u32); "
            "ask for first-come queueing"
        )
    return found
