"""What a schedule is made of, and its text.

`2F0` is stage 2, forward, micro-batch 0; rows are comma-separated text and round-trip.
Stages are virtual stages: in forward order, 0 … p·v - 1. The letters are torch's; the
zero-bubble paper writes B for I.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from typing_extensions import override

Kind = Literal["F", "B", "I", "W"]
_KINDS: dict[str, Kind] = {"F": "F", "B": "B", "I": "I", "W": "W"}
_ACTION = re.compile(r"(\d+)([FBIW])(\d+)")


class Action(NamedTuple):
    """One pass of one micro-batch through one stage.

    Fields:
        stage: virtual stage, 0 … p·v - 1.
        kind: `F` forward; `B` backward for inputs and weights, or, in two parts, `I`
            backward for inputs and `W` backward for weights.
        microbatch: 0 … m - 1.
    """

    stage: int
    kind: Kind
    microbatch: int

    @override
    def __str__(self) -> str:
        """Return such as `2F0`."""
        return f"{self.stage}{self.kind}{self.microbatch}"

    @classmethod
    def parse(cls, text: str) -> Action:
        """Return the action that `text` writes, such as `2F0`.

        Raises:
            ValueError: the text is no action.
        """
        match = _ACTION.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"'{text}' is no action; write such as '2F0' or '0B3'")
        stage, kind, microbatch = match.groups()
        return cls(int(stage), _KINDS[kind], int(microbatch))


Row = tuple[Action, ...]
Schedule = tuple[Row, ...]
