"""What several tests of the command line need."""

import pytest

from simulator import cli


@pytest.fixture
def simulate(capsys):
    """Run a command; return exit code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            cli.main(arguments)
        streams = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, streams.out, streams.err

    return run
