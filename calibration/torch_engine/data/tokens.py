"""Tokens of one file, memory-mapped: a sample is a stretch of them.

A `.npy` file has one dimension of whole numbers. Any other is raw: 16-bit words of this
machine, or 32-bit ones where a vocabulary has more than 65,536 entries.

Source: the raw format is that of nanoGPT's `data/*/prepare.py` (from memory).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calibration.torch_engine.data.faults import data_fault
from simulator.errors import Fault
from topologies.units import Count

Array = np.ndarray[Any, np.dtype[Any]]
_SHORT = 2**16  # entries that a word of 16 bits tells apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Stretches of a file, each with the next token of every token as its target.

    Fields:
        path: of the file.
        length: tokens of a sample [1].
        vocabulary: entries of the model's table [1].
        chosen: numbers of the samples, in the order in which they are read.
    """

    path: Path
    length: int
    vocabulary: int
    chosen: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """Samples of the file; its last tokens may be in none [1]."""
        return (len(self._mapped()) - 1) // self.length

    def faults(self) -> Iterator[Fault]:
        """Yield what is wrong with the file, and with the samples that are chosen."""
        try:
            tokens = self._mapped()
        except (OSError, ValueError) as error:
            yield data_fault(f"{self.path}: {error}", "give a file of tokens")
            return
        if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
            problem = f"{self.path} has {tokens.ndim} dimensions of {tokens.dtype}"
            yield data_fault(problem, "write one row of whole numbers")
            return
        for number in self.chosen:
            own = tokens[number * self.length : (number + 1) * self.length + 1]
            if own.max() >= self.vocabulary or own.min() < 0:
                place = number * self.length + int(
                    np.argmax((own >= self.vocabulary) | (own < 0))
                )
                problem = (
                    f"token {place} of {self.path} is {tokens[place]}, but the"
                    f" vocabulary has {self.vocabulary} entries"
                )
                yield data_fault(problem, "write model.vocabulary as it was encoded")
                return

    def inputs(self, places: Sequence[int]) -> Array:
        """Return the tokens of chosen samples, a row each."""
        return self._rows(places, 0)

    def targets(self, places: Sequence[int]) -> Array:
        """Return the token that follows each."""
        return self._rows(places, 1)

    def _rows(self, places: Sequence[int], ahead: int) -> Array:
        tokens = self._mapped()
        begins = (self.chosen[each] * self.length + ahead for each in places)
        rows = [tokens[begin : begin + self.length] for begin in begins]
        return np.stack(rows).astype(np.int64)

    def _mapped(self) -> Array:
        if self.path.suffix == ".npy":
            found: Array = np.load(self.path, mmap_mode="r")
            return found
        word = np.uint16 if self.vocabulary <= _SHORT else np.uint32
        return np.memmap(self.path, dtype=word, mode="r")


def least_tokens(length: int, samples: Count) -> int:
    """Return the tokens of so many samples; the last is a target only [1]."""
    return int(samples) * length + 1
