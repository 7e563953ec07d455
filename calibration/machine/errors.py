"""What a machine cannot measure."""

from simulator.errors import RehearsalError


class Unavailable(RehearsalError):  # noqa: N818 - says what holds
    """The device that is asked for is not there."""

    exit_code = 5
