"""Samples of a folder with a folder a class, as torchvision's ImageFolder has them.

A sample is an image, for which Pillow has to be installed, or an `.npy` array of the
shape that the model takes. Classes are numbered in the order of their names. Bytes are
divided by 255; nothing else is done to a sample, and none is resized.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from calibration.torch_engine.data.faults import data_fault
from simulator.errors import Fault, MissingOptional

Array = np.ndarray[Any, np.dtype[Any]]
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".webp")
_MODES = {1: "L", 3: "RGB"}  # Pillow's names, by channels
_MOST = 255  # of a byte


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Files by class.

    Fields:
        path: of the folder that has a folder a class.
        shape: of a sample: channels, rows and columns, or numbers [1].
        classes: logits of the model [1].
        files: of all classes, with the number of their class; those of the run, in the
            order in which they are read, once they are chosen.
    """

    path: Path
    shape: tuple[int, ...]
    classes: int
    files: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, path: Path, shape: tuple[int, ...], classes: int) -> Folders:
        """Return all samples of a folder."""
        folders = sorted(each for each in path.iterdir() if each.is_dir())
        files = tuple(
            (str(file.relative_to(path)), number)
            for number, folder in enumerate(folders)
            for file in sorted(folder.iterdir())
            if file.suffix.lower() in (*_PICTURES, ".npy")
        )
        return cls(path=path, shape=shape, classes=classes, files=files)

    @property
    def count(self) -> int:
        """Samples [1]."""
        return len(self.files)

    def faults(self) -> Iterator[Fault]:
        """Yield what is wrong with the files: the first class, the first shape."""
        name, most = max(self.files, key=lambda each: each[1], default=("", -1))
        if most >= self.classes:
            problem = f"{name} is of class {most}, but the model has {self.classes}"
            yield data_fault(f"{problem}, from 0 on", "give as many folders as classes")
        for name, _ in self.files:
            shape = self._shape(name)
            if shape != self.shape:
                problem = f"{self.path / name} is {_said(shape)}"
                remedy = f"the model takes {_said(self.shape)}"
                yield data_fault(problem, remedy)
                return

    def inputs(self, places: Sequence[int]) -> Array:
        """Return chosen samples."""
        return np.stack([self._read(self.files[each][0]) for each in places])

    def targets(self, places: Sequence[int]) -> Array:
        """Return the classes of chosen samples."""
        return np.array([self.files[each][1] for each in places], dtype=np.int64)

    def _shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a file, from its head; as many channels as asked for."""
        path = self.path / name
        if path.suffix == ".npy":
            found: tuple[int, ...] = np.load(path, mmap_mode="r").shape
            return found
        with _pillow().open(path) as image:
            width, height = image.size
        return (self.shape[0] if len(self.shape) == 3 else 3, height, width)

    def _read(self, name: str) -> Array:
        path = self.path / name
        if path.suffix == ".npy":
            values: Array = np.load(path)
        else:
            with _pillow().open(path) as image:
                channels = np.asarray(image.convert(_MODES[self.shape[0]]))
            values = channels.reshape(*channels.shape[:2], -1).transpose(2, 0, 1)
        scale = _MOST if values.dtype == np.uint8 else 1
        return values.astype(np.float32) / scale


def _pillow() -> Any:
    try:
        return import_module("PIL.Image")
    except ImportError:
        raise MissingOptional("Pillow", "pip install Pillow") from None


def _said(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"
