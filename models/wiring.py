"""Which values the operators of a layer read: what a list of operators leaves out.

An operator reads what the one before it puts out, the first one the layer's input.
Where that is not so, its layer's `reads` names what is read instead, by the name of the
operator that puts it out or by one of the words below.

Between layers goes one value, and beside it those that earlier layers left for later
ones, as a stack: a layer takes from its top and leaves on its top.
"""

from __future__ import annotations

from collections.abc import Mapping

INPUT = "input"
"""The layer's input."""
PREVIOUS = "previous"
"""What the operator before puts out."""
FIRST_TOKEN = "input of the first token"  # noqa: S105 - a token of a text
LAST_TOKEN = "input of the last token"  # noqa: S105 - the same

Reads = Mapping[str, tuple[str, ...]]
CHAIN: Reads = {}
"""Every operator reads the one before it."""


def carried(number: int) -> str:
    """Return the word for a value that the layer takes from the stack.

    Args:
        number: from 1, in the order in which the values were left.
    """
    return f"carried {number}"
