"""The errors that a user can cause, each with the exit code of the command line.

RehearsalError                 1   ours, unless one of these:
├── PlanError                  2   the plan, or a request about it, is wrong
├── UnrunnableError            2   a plan cannot be run so, or not here (`torch_engine`)
├── UnknownFormat              2   a picture format that nobody draws (`plot/style.py`)
├── Infeasible                 3   the plan is valid, but cannot run
│   └── DeadlockError          3   its schedule can never finish (`engines/graph.py`)
├── NoNetwork                  2   a drawing of a plan without a graph (`plot`)
├── ExpectationFailed          4   a threshold or tolerance does not hold
├── MissingOptional            5   something that is not installed is needed
├── Unavailable                5   there is no such device (`calibration/machine`)
├── EmulationUnavailable       5   the kernel or its tools cannot emulate a network
└── EmulationError             1   an emulated network failed (`calibration/emulation`)

A `PlanError` carries every `Fault` that was found, so that a file is mended in one go.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import override


class RehearsalError(Exception):
    """The root: whatever is raised on purpose."""

    exit_code: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a plan.

    Fields:
        key: dotted path of the key it is about, such as `parallelism.tensor`.
        problem: what is wrong, with the arithmetic where there is any.
        remedy: what to write instead; empty if the problem says it.
        line, column: where in the file, from 1; None where there is no file.
        given: the request that brought the value, such as
            `--set parallelism.tensor=3`; empty if it stands in the file.
        involves: other keys that take part; the fault is placed at the first
            of them that was given on the command line or stands in the file.
    """

    key: str
    problem: str
    remedy: str = ""
    line: int | None = None
    column: int | None = None
    given: str = ""
    involves: tuple[str, ...] = ()

    def text(self, source: str = "") -> str:
        """Return `source:line:column: key: problem; remedy`."""
        place = self.given
        if not place and source:
            place = f"{source}:{self.line or 1}:{self.column or 1}"
        is_key_in_place = self.given.partition("=")[0].endswith(f" {self.key}")
        subject = "" if is_key_in_place else self.key
        what = f"{self.problem}; {self.remedy}" if self.remedy else self.problem
        return ": ".join(part for part in (place, subject, what) if part)


class PlanError(RehearsalError):
    """A plan that cannot be used, with all its faults."""

    exit_code = 2

    def __init__(self, faults: Iterable[Fault], source: str = "") -> None:
        self.faults = tuple(faults)
        self.source = source
        super().__init__(self.faults, source)

    @override
    def __str__(self) -> str:
        """Return one line a fault, then their number."""
        count = f"{len(self.faults)} problem{'s' * (len(self.faults) != 1)}"
        lines = [fault.text(self.source) for fault in self.faults]
        return "\n".join([*lines, f"{count} in {self.source or 'the plan'}"])


class Infeasible(RehearsalError):  # noqa: N818 - says what holds
    """A valid plan that cannot run: out of memory, or the graph is cut."""

    exit_code = 3


class ExpectationFailed(RehearsalError):  # noqa: N818 - same
    """An `[expect]` threshold, a comparison or a tolerance that does not hold."""

    exit_code = 4


class MissingOptional(RehearsalError):  # noqa: N818 - same
    """Something optional is not installed; the message has the command."""

    exit_code = 5

    def __init__(self, what: str, install: str) -> None:
        self.what = what
        self.install = install
        super().__init__(what, install)

    @override
    def __str__(self) -> str:
        """Return what is missing and how to install it."""
        return f"{self.what} is not installed; install it with: {self.install}"
