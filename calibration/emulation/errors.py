"""What can go wrong with an emulated network, with the exit code of each."""

from __future__ import annotations

from typing import ClassVar

from simulator.errors import RehearsalError


class EmulationError(RehearsalError):
    """An emulated network that could not be built, or failed while it was used."""


class EmulationUnavailable(RehearsalError):  # noqa: N818 - says what holds
    """This machine cannot emulate a network; the message says what it lacks.

    Fields:
        reason: what is missing, with a remedy where there is one.
    """

    exit_code: ClassVar[int] = 5

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"no emulated network on this machine: {reason}")
