"""What the builder of modules does not know."""

from __future__ import annotations


class Uncovered(ValueError):  # noqa: N818 - the builder covers no such model
    """A model with an operator that nothing executes yet; the message names both."""
