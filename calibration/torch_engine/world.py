"""Ranks as processes of this one: started together, given tasks, ended together.

    with World(seats(4)) as world:
        results = world.run(task)

None outlives its world: it ends them, the kernel does if this process is killed.
"""

from __future__ import annotations

import os
import pickle
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from calibration.torch_engine.errors import RankError, RunError
from calibration.torch_engine.failing import Failure, blame, hung
from calibration.torch_engine.forking import forking, last_words
from calibration.torch_engine.rank import Session, Task
from calibration.torch_engine.seats import Seat
from topologies.units import Seconds

_AFTER: Seconds = 1.0  # for other ranks to say what they see of a failure
_LEAVE: Seconds = 5.0  # for ranks to end by themselves


class Limits(NamedTuple):
    """How long things may take.

    Fields:
        waiting: of one rank for another in a message [s].
        silence: of all ranks together, between two signs of life [s].
    """

    waiting: Seconds = 60.0
    silence: Seconds = 300.0


class _Rank(NamedTuple):
    """One rank: its process, a file that shows its end, and what it prints."""

    process: int
    file: int
    errors: int
    connection: Connection[Any, Any]


class World:
    """Processes that run tasks together; a context manager.

    Fields:
        seats: where each rank is.
    """

    def __init__(
        self,
        places: Sequence[Seat],
        *,
        limits: Limits = Limits(),  # noqa: B008 - immutable
        hint: Callable[[], str] = str,
    ) -> None:
        """Prepare a world; no process is started yet.

        Args:
            places: of the ranks.
            limits: how long a task may wait.
            hint: asked after a failure, for what else to say of it.
        """
        self.seats = tuple(places)
        self._limits, self._hint = limits, hint
        self._ranks: list[_Rank] = []

    def __enter__(self) -> Self:
        """Start the ranks."""
        try:
            for rank, seat in enumerate(self.seats):
                self._ranks.append(_start(rank, len(self.seats), seat))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the ranks, at once if something went wrong."""
        self.close(at_once=kind is not None)

    @property
    def processes(self) -> tuple[int, ...]:
        """Process numbers of the ranks."""
        return tuple(rank.process for rank in self._ranks)

    def run(self, task: Task, *, backend: str = "gloo") -> list[Any]:
        """Return what a task returns on each rank, run by all in one process group.

        Args:
            task: a function of a module, or a `partial` of one.
            backend: of torch.distributed.

        Raises:
            RankError: a rank failed; no rank is left then.
        """
        if not self._ranks:
            raise RunError("this world has no ranks; use it in its block")
        descriptor, store = tempfile.mkstemp(prefix="rehearsal-")
        os.close(descriptor)
        try:
            session = Session(store, backend, self._limits.waiting)
            message = pickle.dumps((task, session))
            watch = _Watch(self._ranks)
            for number, rank in enumerate(self._ranks):
                with suppress(OSError):  # its end says more than a broken pipe
                    rank.connection.send_bytes(message)
                watch.places[number] = ""
            return self._answers(watch)
        except BaseException:
            self.close(at_once=True)
            raise
        finally:
            Path(store).unlink(missing_ok=True)

    def close(self, *, at_once: bool = False) -> None:
        """End the ranks; harmless if repeated.

        Args:
            at_once: kill them; else they end by themselves.
        """
        ranks, self._ranks = self._ranks, []
        for rank in ranks:
            rank.connection.close()
        if not at_once:
            _await_end(ranks, _LEAVE)
        for rank in ranks:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(rank.file, signal.SIGKILL)
        _await_end(ranks, _LEAVE)
        for rank in ranks:
            with suppress(RunError):
                forking().code(rank.process)
            os.close(rank.file)
            os.close(rank.errors)

    def _answers(self, watch: _Watch) -> list[Any]:
        """Return the results of all ranks.

        Raises:
            RankError: one of them failed.
        """
        hosts = [seat.host for seat in self.seats]
        while watch.places:
            limit = self._limits.silence
            if watch.failures:
                # Who began to wait later says so later; who never does, hangs.
                is_late = any(each.is_late for each in watch.failures.values())
                limit = _AFTER + (self._limits.waiting if is_late else 0)
            if watch.listen(limit):
                continue
            if not watch.failures:
                why = f"no rank gave a sign for {limit:g} s"
                raise self._hinted(hung(watch.places, hosts, why))
            break
        if watch.failures:
            waited = self._limits.waiting
            raise self._hinted(blame(watch.failures, watch.places, hosts, waited))
        return [pickle.loads(watch.results[rank]) for rank in range(len(self.seats))]  # noqa: S301 - our own ranks'

    def _hinted(self, error: RankError) -> RankError:
        hint = self._hint()
        return RankError(f"{error}; {hint}", error.rank, error.trace) if hint else error


class _Watch:
    """What is known of the ranks of one task.

    Fields:
        places: where ranks are that have not answered, by rank.
        results: pickled, by rank.
        failures: by rank, in the order in which they came.
    """

    def __init__(self, ranks: Sequence[_Rank]) -> None:
        self._ranks = ranks
        self.places: dict[int, str] = {}
        self.results: dict[int, bytes] = {}
        self.failures: dict[int, Failure] = {}
        self._since = time.monotonic()

    def listen(self, limit: Seconds) -> bool:
        """Hear what ranks say, or wait until a time after the last news; say which."""
        left = self._since + limit - time.monotonic()
        sources: dict[Any, int] = {}
        for number in self.places:
            rank = self._ranks[number]
            sources |= {rank.connection: number, rank.file: number}
        ready = wait(list(sources), max(0.0, left))
        numbers = {sources[source] for source in ready}
        for number in numbers:
            self._hear(number)
        if numbers and not self.failures:
            self._since = time.monotonic()
        return bool(numbers)

    def _hear(self, number: int) -> None:
        """Take one message of a rank, or its end."""
        rank = self._ranks[number]
        try:
            kind, content = pickle.loads(rank.connection.recv_bytes())  # noqa: S301 - same
        except (EOFError, OSError):
            code = forking().code(rank.process)
            kind, content = "end", Failure(last_words(rank.errors), code=code)
        if kind == "place":
            self.places[number] = content
            return
        self.places.pop(number)
        if kind == "result":
            self.results[number] = content
            return
        failure = content if kind == "end" else Failure(*content)
        if not self.failures:
            self._since = time.monotonic()
        self.failures[number] = failure


def _start(rank: int, size: int, seat: Seat) -> _Rank:
    """Start one rank."""
    ours, theirs = Pipe()
    errors = os.memfd_create(f"rank{rank}")
    with theirs:
        process = forking().start(rank, size, seat, theirs.fileno(), errors)
    try:
        file = os.pidfd_open(process)
    except ProcessLookupError:
        name = f"rank {rank} ({seat.host})"
        raise RunError(f"{name}: ended at once: {last_words(errors)}") from None
    return _Rank(process, file, errors, ours)


def _await_end(ranks: Sequence[_Rank], limit: Seconds) -> None:
    """Wait until ranks have ended, or a time is over."""
    until = time.monotonic() + limit
    left = [rank.file for rank in ranks]
    while left and (time.monotonic() < until):
        for file in wait(left, max(0.0, until - time.monotonic())):
            left.remove(file)  # type: ignore[arg-type]  # we gave numbers
