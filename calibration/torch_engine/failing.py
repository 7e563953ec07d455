"""Which of several failed ranks is to blame, and what to say.

One rank that fails takes others with it: they see its connections close, or wait for it
until their time is up. What they say is a consequence. To blame is a rank that was
killed, else one with an error of its own, else one that others waited for.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from calibration.torch_engine.errors import RankError
from topologies.units import Seconds

_LATE = ("timed out", "timeout", "timedout")
_LOST = ("gloo", "connection closed", "connection reset", "broken pipe", "nccl")
_COMMUNICATION = ("DistBackendError", "DistNetworkError")


class Failure(NamedTuple):
    """How a rank failed.

    Fields:
        text: its error, or what it printed last.
        trace: where it was, as Python prints it.
        code: exit code of one that ended without a word; None of one that spoke.
    """

    text: str
    trace: str = ""
    code: int | None = None

    @property
    def is_late(self) -> bool:
        """Whether it waited for others in vain."""
        return self.is_consequence and _has(self.text, _LATE)

    @property
    def is_consequence(self) -> bool:
        """Whether the error is what a rank sees of another's."""
        if self.code is not None:
            return False
        lost = _has(self.text, (*_LATE, *_LOST))
        is_native = self.text.startswith(("RuntimeError", *_COMMUNICATION))
        return lost and is_native


def blame(
    failures: Mapping[int, Failure],
    places: Mapping[int, str],
    hosts: Sequence[str],
    waited: Seconds,
) -> RankError:
    """Return the error of a world of which some ranks failed.

    Args:
        failures: in the order in which they came, by rank.
        places: where ranks without any answer are.
        hosts: of all ranks.
        waited: how long ranks wait for each other [s].
    """
    dead = [rank for rank, failure in failures.items() if failure.code is not None]
    own = [rank for rank, failure in failures.items() if not failure.is_consequence]
    late = [rank for rank, failure in failures.items() if failure.is_late]
    if dead or own:
        return _of_one((dead or own)[0], failures, hosts)
    if late and places:
        return hung(places, hosts, f"the others waited {waited:g} s for it")
    return _of_one(min(failures), failures, hosts)


def hung(places: Mapping[int, str], hosts: Sequence[str], why: str) -> RankError:
    """Return the error of ranks that give no sign."""
    named = [f"rank {rank} ({hosts[rank]})" for rank in sorted(places)]
    where = sorted({place for place in places.values() if place})
    at = f" at {' and '.join(where)}" if where else ""
    text = f"{', '.join(named)}: hung{at}; {why}"
    return RankError(text, min(places) if len(places) == 1 else None)


def _of_one(
    rank: int, failures: Mapping[int, Failure], hosts: Sequence[str]
) -> RankError:
    failure = failures[rank]
    text = failure.text.splitlines()[0] if failure.text else ""
    if failure.code is not None:
        said = f"; it said: {text}" if text else ""
        text = f"{_ended(failure.code)}{said}"
    elif failure.is_late:
        text = f"waited for another rank in vain: {text}"
    elif failure.is_consequence:
        text = f"lost another rank: {text}"
    return RankError(f"rank {rank} ({hosts[rank]}): {text}", rank, failure.trace)


def _ended(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code} and no word"


def _has(text: str, words: Sequence[str]) -> bool:
    return any(word in text.lower() for word in words)
