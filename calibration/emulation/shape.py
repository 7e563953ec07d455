"""How cables are shaped: lines for `tc` that hold a link to its bandwidth.

A *fair* link serves the pairs of hosts that cross it in turn, packet by packet, so
that none gains by pressing harder: a token bucket (htb) with a class for each pair.
Short packets go first, or acknowledgements would wait behind data the other way. A
*first-come* link has one queue (tbf), and what a pair gets of it is up to TCP.

Limits: a fair link is fair between pairs of hosts; connections of one pair share what
it gets, first come, first served.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from topologies.units import BytesPerSecond, Count, Ratio, Seconds, number_in

Queueing = Literal["fair", "first-come"]

_ETHERNET = 14  # bytes of a frame before its packet, as the kernel counts them
_TCP_IP = 52  # bytes of a packet before its payload: IPv4, TCP, time stamps
# Numbers of classes; 1 is the whole link.
_OTHERS = 2  # what no filter knows
_SHORT = 3  # packets below 128 bytes
_FIRST_PAIR = 16


class Shape(NamedTuple):
    """How cables are shaped.

    Fields:
        queueing: whom a link serves next.
        mtu: of every cable; bytes of a packet. Large ones cost the machine less
            per byte, or it could not keep several links at their rate [B].
        burst: what may leave at once after a pause, at least two packets [B].
        queue: packets that wait in front of a link, of each pair if it is fair [1].
        window: that TCP may have under way in each flow, at most [B].
        congestion: TCP's way to share, `reno`, `cubic` or another the kernel has.
        num_retries: of TCP on a dead link, before it says so; each takes twice as
            long as the one before, and the first a fifth of a second [1].
    """

    queueing: Queueing = "fair"
    mtu: int = 9_000
    burst: int = 20_000
    queue: int = 2_000
    window: int = 262_144
    congestion: str = "reno"
    num_retries: Count = 4

    @property
    def payload_share(self) -> Ratio:
        """Share of a shaped rate that is TCP payload, acknowledgements apart [1]."""
        return (self.mtu - _TCP_IP) / self.frame

    @property
    def frame(self) -> int:
        """Bytes of a full packet, as they are counted against the rate [B]."""
        return self.mtu + _ETHERNET


class Shaped(NamedTuple):
    """A link that is to be shaped.

    Fields:
        device: its interface.
        bandwidth: that it is held to [B/s].
        delay: that is added to every packet [s].
        pairs: addresses of sender and receiver of the traffic that crosses it.
    """

    device: str
    bandwidth: BytesPerSecond
    delay: Seconds
    pairs: Sequence[tuple[str, str]]


def lines(link: Shaped, shape: Shape) -> list[str]:
    """Return the lines of `tc -batch` that shape a link."""
    make = _fair if shape.queueing == "fair" else _first_come
    return list(make(link, shape))


def _first_come(link: Shaped, shape: Shape) -> Iterable[str]:
    limits = f"burst {shape.burst} limit {shape.queue * shape.frame}"
    yield (
        f"qdisc add dev {link.device} root handle 1: tbf rate {_rate(link)} {limits}"
    )
    if link.delay > 0:
        yield f"qdisc add dev {link.device} parent 1: {_waiting(link, shape)}"


def _fair(link: Shaped, shape: Shape) -> Iterable[str]:
    device, rate = link.device, _rate(link)
    buckets = f"burst {shape.burst} cburst {shape.burst} quantum {shape.frame}"
    # Next to nothing of its own: all that a class gets, it borrows in turn.
    borrowing = f"htb rate 8kbit ceil {rate} {buckets}"
    numbers = range(_FIRST_PAIR, _FIRST_PAIR + len(link.pairs))
    classes = [(_OTHERS, 1), (_SHORT, 0), *((number, 1) for number in numbers)]
    yield f"qdisc add dev {device} root handle 1: htb default {_OTHERS:x}"
    yield (
        f"class add dev {device} parent 1: classid 1:1 htb "
        f"rate {rate} ceil {rate} {buckets}"
    )
    for number, turn in classes:
        name = f"dev {device} parent 1:1 classid 1:{number:x}"
        yield f"class add {name} {borrowing} prio {turn}"
        yield f"qdisc add dev {device} parent 1:{number:x} {_waiting(link, shape)}"
    matching = f"filter add dev {device} parent 1: protocol ip"
    yield f"{matching} prio 1 u32 match u16 0 0xff80 at 2 flowid 1:{_SHORT:x}"
    for number, (sender, receiver) in zip(numbers, link.pairs, strict=True):
        pair = f"match ip src {sender}/32 match ip dst {receiver}/32"
        yield f"{matching} prio 2 u32 {pair} flowid 1:{number:x}"


def _waiting(link: Shaped, shape: Shape) -> str:
    """Return the queue in front of a link, or of one pair in front of it."""
    if not link.delay > 0:
        return f"pfifo limit {shape.queue}"
    under_way = int(link.bandwidth * link.delay / shape.frame) + 1
    limit = shape.queue + under_way
    return f"netem delay {number_in(link.delay, 'us'):.3f}us limit {limit}"


def _rate(link: Shaped) -> str:
    return f"{round(number_in(link.bandwidth, 'B/s') * 8)}bit"
