"""The command line: `simulate PLAN.toml`, and the verbs beside it.

stdout is the result, stderr is what is said about it. Exit codes: 0 success;
1 internal error; 2 usage or plan; 3 infeasible; 4 expectation failed; 5 something
optional is missing; 130 interrupted.

Every command imports what it needs when it runs, so that `--help` stays instant.
"""

from simulator.cli.program import main

__all__ = ["main"]
