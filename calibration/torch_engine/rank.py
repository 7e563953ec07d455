"""What a rank does: it waits for tasks, joins a process group for each, and answers.

No torch object leaves it: results are pickled here and unpickled where they are read.
"""

from __future__ import annotations

import gc
import os
import pickle
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from topologies.units import Seconds


class Session(NamedTuple):
    """The process group of one task.

    Fields:
        store: file in which ranks find each other; empty for a group that the
            environment describes, as torchrun's does.
        backend: of torch.distributed.
        timeout: how long a rank waits for another [s].
    """

    store: str
    backend: str
    timeout: Seconds


@dataclass(frozen=True, slots=True)
class Member:
    """A rank, as a task sees itself.

    Fields:
        rank: 0 … size - 1.
        size: ranks of the world [1].
        tell: says where the task has come to, which a message names if it hangs there.
    """

    rank: int
    size: int
    tell: Callable[[str], None]


Task = Callable[[Member], Any]


def serve(connection: Connection, rank: int, size: int) -> None:
    """Do tasks until there are no more, or one fails."""
    member = Member(rank, size, lambda place: connection.send_bytes(_place(place)))
    while True:
        try:
            message = connection.recv_bytes()
        except (EOFError, OSError):
            return
        answer = _answer(message, member)
        connection.send_bytes(pickle.dumps(answer))
        if answer[0] == "error":
            # Its groups are left as they are: to take leave of ranks that wait for
            # this one would mean to wait for them.
            os._exit(1)


def _place(text: str) -> bytes:
    return pickle.dumps(("place", text))


def _answer(message: bytes, member: Member) -> tuple[str, Any]:
    try:
        task, session = pickle.loads(message)  # noqa: S301 - from our own parent
        return "result", pickle.dumps(in_group(task, session, member))
    except BaseException as error:  # noqa: BLE001 - it goes to the parent
        return "error", (_cause(error), traceback.format_exc())


def _cause(error: BaseException) -> str:
    """Return what an error says, or the one that it was raised for."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).strip()}"


def in_group(task: Task, session: Session, member: Member) -> Any:
    """Return what a task returns inside a process group, which is gone afterwards."""
    import torch  # noqa: PLC0415 - the parent need not have it
    import torch.distributed as dist  # noqa: PLC0415 - same

    warnings.simplefilter("ignore", FutureWarning)
    torch.set_num_threads(1)
    store = None
    if session.store:
        store = dist.FileStore(session.store, member.size)
    dist.init_process_group(
        session.backend,
        store=store,
        rank=member.rank if store else -1,
        world_size=member.size if store else -1,
        timeout=timedelta(seconds=session.timeout),
    )
    result = task(member)
    # What a task made and dropped has to be gone before its group: a model that
    # outlives the group of its gradients hangs at exit.
    gc.collect()
    dist.destroy_process_group()
    return result
