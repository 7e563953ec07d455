"""The command line: `simulate PLAN.toml`, and the verbs beside it.

stdout is the result, stderr is what is said about it. Exit codes: 0 success;
1 internal error; 2 usage or plan; 3 infeasible; 4 expectation failed; 5 something
optional is missing; 130 interrupted.

Every command imports what it needs when it runs, so that `--help` stays instant.
"""

import sys
from collections.abc import Sequence
from typing import NoReturn

INTERRUPTED = 130  # what shells report of a program that ctrl-C ended: 128 + SIGINT


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code, also where ctrl-C comes early."""
    try:
        from simulator.cli.program import run_program  # noqa: PLC0415 - may be stopped
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(INTERRUPTED)
    run_program(sys.argv[1:] if arguments is None else arguments)
