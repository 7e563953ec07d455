"""Tables of which a sample reads a few rows."""

from __future__ import annotations

from dataclasses import dataclass

from models.operators.operator import Split, degree
from models.work import Share, Work, memory_work


@dataclass(frozen=True, slots=True)
class Embedding:
    """A table look-up.

    Fields:
        entries: rows of the table, such as the vocabulary [1].
        width: features of a row [1].
        rows: look-ups a sample, such as tokens [1].
    """

    name: str
    entries: int
    width: int
    rows: int
    split: Split = Split.VOCABULARY

    is_core_attention = False

    @property
    def parameters(self) -> int:
        """The table [1]."""
        return self.entries * self.width

    def _size(self, share: Share) -> float:
        return 2.0 * share.element * share.samples * self.rows * self.width

    def forward(self, share: Share) -> tuple[Work, ...]:
        """Return the gather of the rows looked up.

        A divided table masks and clamps its indices before, and clears the rows of
        other ranks after.
        """
        launches = 4 if self.split is Split.VOCABULARY else 1
        return (
            memory_work(
                f"{self.name} F",
                self._size(share),
                launches=launches,
                function="embedding forward",
            ),
        )

    def backward_input(self, share: Share) -> tuple[Work, ...]:
        """Return nothing: indices have no gradient."""
        del share
        return ()

    def backward_weight(self, share: Share) -> tuple[Work, ...]:
        """Return the scatter-add of the gradients into a dense table."""
        table = share.element * self.entries * self.width / degree(self.split, share)
        size = self._size(share) + table
        return (memory_work(f"{self.name} W", size, function="embedding weight"),)

    def saved_bytes(self, share: Share) -> float:
        """Return the indices, 8 bytes each [B]."""
        return 8.0 * share.samples * self.rows


@dataclass(frozen=True, slots=True)
class EmbeddingBag:
    """A table of which a sample reads a few rows and adds them up.

    Its gradient is sparse: the rows that the samples read, and no table.

    Fields:
        entries: rows of the table [1].
        width: features of a row [1].
        rows: look-ups a sample, summed to one vector [1].
    """

    name: str
    entries: int
    width: int
    rows: int = 1

    split = Split.NONE
    is_core_attention = False

    @property
    def parameters(self) -> int:
        """The table [1]."""
        return self.entries * self.width

    def forward(self, share: Share) -> tuple[Work, ...]:
        """Return the gather and sum: reads the rows, writes one vector a sample."""
        elements = share.samples * (self.rows + 1) * self.width
        return (memory_work(f"{self.name} F", share.element * elements),)

    def backward_input(self, share: Share) -> tuple[Work, ...]:
        """Return nothing: indices have no gradient."""
        del share
        return ()

    def backward_weight(self, share: Share) -> tuple[Work, ...]:
        """Return the sparse gradient: reads a vector a sample, writes it a look-up."""
        elements = share.samples * (self.rows + 1) * self.width
        return (memory_work(f"{self.name} W", share.element * elements),)

    def saved_bytes(self, share: Share) -> float:
        """Return the indices, 8 bytes each [B]."""
        return 8.0 * share.samples * self.rows
