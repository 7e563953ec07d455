"""A world that others started, such as torchrun: this process is one of its ranks."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

from calibration.torch_engine.errors import RunError
from calibration.torch_engine.rank import Member, Session, Task, in_group
from topologies.units import Seconds


def joined(task: Task, world_size: int, backend: str, patience: Seconds) -> list[Any]:
    """Return the results of all ranks on rank 0; the other processes end here.

    Args:
        task: for every rank.
        world_size: that the plan needs [1].
        backend: of torch.distributed.
        patience: of a rank for another [s].

    Raises:
        RunError: there are more or fewer ranks than the plan has.
    """
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if size != world_size:
        raise RunError(f"the plan needs {world_size} ranks; {size} were started")
    member = Member(rank, size, _silent)
    session = Session("", backend, patience)
    results: list[Any] | None = in_group(_Gathered(task), session, member)
    if results is None:
        sys.stdout.flush()
        os._exit(0)
    return results


def _silent(place: str) -> None:
    """Say nothing: nobody listens."""
    del place


class _Gathered:
    """A task whose results all go to rank 0."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __call__(self, member: Member) -> list[Any] | None:
        """Return all results on rank 0, else None."""
        own = self._task(member)
        dist = import_module("torch.distributed")
        results = [None] * member.size if member.rank == 0 else None
        dist.gather_object(own, results)
        return results
