"""What goes wrong when a plan runs for real."""

from __future__ import annotations

from importlib.util import find_spec
from typing import ClassVar

from simulator.errors import MissingOptional, RehearsalError


class RunError(RehearsalError):
    """Processes that were to run a plan could not, or one of them failed."""


class UnrunnableError(RehearsalError):
    """A plan that cannot be run in the way asked for; the message says why."""

    exit_code: ClassVar[int] = 2


class RankError(RunError):
    """A rank failed; the message names it and says what it said.

    Fields:
        rank: the first that failed; None if they failed together.
        trace: where, as Python prints it; empty if it could not say.
    """

    def __init__(self, message: str, rank: int | None, trace: str = "") -> None:
        super().__init__(message)
        self.rank = rank
        self.trace = trace


def require_torch() -> None:
    """Refuse to go on without torch.

    Raises:
        MissingOptional: it is not installed.
    """
    if not has_torch():
        raise MissingOptional("torch", "pip install 'rehearsal[run]'")


def has_torch() -> bool:
    """Return whether torch is installed, without loading it."""
    found = find_spec("torch")
    # A folder of that name on the path has no file of its own.
    return found is not None and found.origin is not None
